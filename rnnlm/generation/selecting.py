"""Select which of the drawn texts are kept for the data set.

The selection depends on the texts' numbers, and never on the order in which workers finish them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnlm.checksums import read_parquet
from rnnlm.corpora.duplicates import repeated
from rnnlm.generation.shard_sampling import DrawnShard

TEXTS_AT_ONCE = 1 << 16
"""Number of flags that are converted to indices at once. This limits the memory, as an index takes
eight times the memory of a flag."""


def accepted_texts(shards: Sequence[DrawnShard], unique: bool) -> NDArray[np.bool_]:
    """Return whether each drawn text may be in the data set, in the order of the texts' numbers.

    Args:
        shards: All drawn shards, in order.
        unique: Whether to refuse texts that equal a text with a lower number.
    """
    accepted = np.zeros(sum(shard.count for shard in shards), dtype=np.bool_)
    for shard, block in zip(shards, _blocks(accepted, shards), strict=True):
        block[:] = _column(shard.path, "accepted")
    if unique:
        count = int(np.count_nonzero(accepted))
        is_repeated, _ = repeated(lambda: _accepted_hashes(shards), count, counted=False)
        seen = 0
        for block in _blocks(accepted, shards):
            among = int(np.count_nonzero(block))
            block[block] = ~is_repeated[seen : seen + among]
            seen += among
    return accepted


def count_repeated(shards: Sequence[DrawnShard], kept: NDArray[np.bool_]) -> int:
    """Return how many of the kept texts equal a kept text with a lower number."""
    count = int(np.count_nonzero(kept))
    is_repeated, _ = repeated(lambda: _kept_hashes(shards, kept), count, counted=False)
    return int(np.count_nonzero(is_repeated))


def first_ones(accepted: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return the flags with only the first `count` of the true flags set."""
    kept = accepted.copy()
    for end in places_of(accepted, np.array([count])):
        kept[end:] = False
    return kept


def places_of(flags: NDArray[np.bool_], ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of some of the true flags.

    To save memory, the indices of all true flags are never listed at once.

    Args:
        flags: The flags, shape (flags,).
        ordinals: Ordinal numbers of the wanted true flags in ascending order; 0 is the first true
            flag.

    Returns:
        The indices, in order. Ordinal numbers beyond the last true flag are left out.
    """
    found, seen = [np.zeros(0, dtype=np.int64)], 0
    for start in range(0, len(flags), TEXTS_AT_ONCE):
        places = np.flatnonzero(flags[start : start + TEXTS_AT_ONCE])
        first, last = np.searchsorted(ordinals, [seen, seen + len(places)])
        found.append(places[ordinals[first:last] - seen] + start)
        seen += len(places)
    return np.concatenate(found)


def _accepted_hashes(shards: Sequence[DrawnShard]) -> Iterator[NDArray[np.uint64]]:
    for shard in shards:
        yield _column(shard.path, "hash")[_column(shard.path, "accepted")]


def _kept_hashes(
    shards: Sequence[DrawnShard], kept: NDArray[np.bool_]
) -> Iterator[NDArray[np.uint64]]:
    for shard, block in zip(shards, _blocks(kept, shards), strict=True):
        yield _column(shard.path, "hash")[block]


def _blocks(flags: NDArray[np.bool_], shards: Sequence[DrawnShard]) -> Iterator[NDArray[np.bool_]]:
    """Yield for each shard its part of the flags of all texts, as a view of the array."""
    start = 0
    for shard in shards:
        yield flags[start : start + shard.count]
        start += shard.count


def _column(path: Path, name: str) -> NDArray[np.uint64]:
    column = read_parquet(path, [name])[name]
    values: NDArray[np.uint64] = column.to_numpy()
    return values
