"""The second pass of ingestion: decide from hashes which documents to drop, and their splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import duplicates
from rnnlm.corpora.reading_pass import UNDECIDED
from rnnlm.corpora.splitting import split_by_shuffle

REPEATED, NEAR_COPY = "repeated", "near copy"
"""Reasons for leaving a document out, as they appear in the counts."""


@dataclass(frozen=True)
class Decision:
    """Which documents of a shard are kept, and in which split.

    Attributes:
        keep: Whether each document is kept, shape (documents,).
        is_repeated: Whether each document repeats an earlier one word for word, shape
            (documents,).
        splits: Index of each document's split in `SPLITS`, or -1 if the hash of its key decides;
            shape (documents,).
        ordinals: For repeated documents that are kept, by their number in the shard: 2 for the
            second occurrence, 3 for the third, and so on.
        dropped: Number of documents left out, by reason.
    """

    keep: NDArray[np.bool_]
    is_repeated: NDArray[np.bool_]
    splits: NDArray[np.int8]
    ordinals: Mapping[int, int]
    dropped: Mapping[str, int]


def decide(
    paths: Sequence[Path], rows: Sequence[int], config: CorpusConfig, splits: SplitConfig
) -> list[Decision]:
    """Decide for the whole corpus which documents are dropped, and their splits if shuffled.

    Args:
        paths: Shards that the first pass wrote, in order.
        rows: Number of documents in each shard.
        config: Sets which documents are dropped.
        splits: Sets whether all documents are shuffled.

    Returns:
        One decision for each shard, in order.
    """
    count = sum(rows)
    is_repeated, ordinals = duplicates.repeated(lambda: _column(paths, "hash"), count)
    is_near = np.zeros(count, dtype=np.bool_)
    if config.clean.near_duplicates:
        is_long = np.concatenate([*_has_signature(paths)])
        numbers = np.flatnonzero(is_long)
        is_near[numbers] = duplicates.near_duplicates(
            lambda band: _band(paths, band), len(numbers), config.clean.near_duplicates
        )
    is_dropped = is_repeated & (config.clean.repeated == "drop")
    is_near &= ~is_repeated
    keep = ~(is_dropped | is_near)
    assigned = np.full(count, UNDECIDED, dtype=np.int8)
    if splits.by == "shuffle":
        assigned[keep] = split_by_shuffle(int(keep.sum()), splits)
    ends = np.cumsum([0, *rows]).tolist()
    decisions = []
    for start, end in pairwise(ends):
        again = np.flatnonzero(is_repeated[start:end] & keep[start:end]).tolist()
        kept_ordinals = {number: ordinals[start + number] for number in again}
        decisions.append(
            Decision(
                keep=keep[start:end],
                is_repeated=is_repeated[start:end],
                splits=assigned[start:end],
                ordinals=kept_ordinals,
                dropped={
                    REPEATED: int(is_dropped[start:end].sum()),
                    NEAR_COPY: int(is_near[start:end].sum()),
                },
            )
        )
    return decisions


def _column(paths: Sequence[Path], name: str) -> Iterator[NDArray[Any]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=[name]):
            yield batch[name].to_numpy()


def _has_signature(paths: Sequence[Path]) -> Iterator[NDArray[np.bool_]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=["band_00"]):
            yield batch["band_00"].is_valid().to_numpy(zero_copy_only=False)


def _band(paths: Sequence[Path], band: int) -> NDArray[np.uint32]:
    """Return one band of all signatures, shape (signatures, BAND_WIDTH)."""
    parts = [np.zeros(0, dtype=np.uint32)]
    name = f"band_{band:02d}"
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=[name]):
            cells = pa.compute.drop_null(batch[name])
            start = cells.offset * duplicates.BAND_WIDTH
            values = np.frombuffer(cells.buffers()[1] or b"", dtype=np.uint32)[start:]
            parts.append(values[: len(cells) * duplicates.BAND_WIDTH])
    return np.concatenate(parts).reshape(-1, duplicates.BAND_WIDTH)
