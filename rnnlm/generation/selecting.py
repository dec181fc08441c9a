"""Which of the drawn texts make the data set: decided by text number, never by arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnlm.corpora.duplicates import repeated
from rnnlm.generation.drawing import DrawnShard


def accepted_texts(shards: Sequence[DrawnShard], unique: bool) -> NDArray[np.bool_]:
    """Return which drawn texts may stand in the data set, by number.

    Args:
        shards: All drawn shards, in order.
        unique: Refuse a text that is the same as one with a lower number.
    """
    accepted = np.concatenate([_column(shard.path, "accepted") for shard in shards])
    if unique:
        places = np.flatnonzero(accepted)
        is_repeated, _ = repeated(lambda: _accepted_hashes(shards), len(places), counted=False)
        accepted[places[is_repeated]] = False
    return accepted


def count_repeated(shards: Sequence[DrawnShard], kept: NDArray[np.bool_]) -> int:
    """Return how many of the kept texts are the same as one with a lower number."""
    is_repeated, _ = repeated(lambda: _kept_hashes(shards, kept), int(kept.sum()), counted=False)
    return int(is_repeated.sum())


def first_ones(accepted: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return the first `count` of the accepted texts alone."""
    kept = accepted.copy()
    kept[np.flatnonzero(accepted)[count:]] = False
    return kept


def _accepted_hashes(shards: Sequence[DrawnShard]) -> Iterator[NDArray[np.uint64]]:
    for shard in shards:
        yield _column(shard.path, "hash")[_column(shard.path, "accepted")]


def _kept_hashes(
    shards: Sequence[DrawnShard], kept: NDArray[np.bool_]
) -> Iterator[NDArray[np.uint64]]:
    start = 0
    for shard in shards:
        yield _column(shard.path, "hash")[kept[start : start + shard.count]]
        start += shard.count


def _column(path: Path, name: str) -> NDArray[np.uint64]:
    column = pq.read_table(path, columns=[name])[name]
    values: NDArray[np.uint64] = column.to_numpy()
    return values
