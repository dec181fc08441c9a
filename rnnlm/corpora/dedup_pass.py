"""The second pass of ingestion: find duplicate documents, and shuffle documents into splits.

The first pass wrote each document with a hash of its text and, if it is long enough, a MinHash
signature (128 numbers, in 32 bands). This pass reads only these columns, not the texts, and returns
which documents of each shard to keep.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import duplicates
from rnnlm.corpora.reading_pass import UNDECIDED, opened
from rnnlm.corpora.splitting import split_by_shuffle

REPEATED, NEAR_COPY = "repeated", "near copy"
"""Reasons for dropping a document, as they appear in the counts."""


@dataclass(frozen=True)
class Decision:
    """Which documents of a shard are kept, and in which split.

    Attributes:
        keep: Whether each document is kept, shape (documents,).
        is_repeated: Whether each document repeats an earlier one word for word, shape
            (documents,).
        splits: Index of each document's split in `SPLITS`, shape (documents,). It is -1 if the
            third pass assigns the split by a hash of the document's text or of an attribute.
        ordinals: For each repeated document that is kept, which occurrence of its text it is: 2 for
            the second, 3 for the third, and so on. The keys are indices of documents in the shard.
        dropped: Number of documents dropped, by reason.
    """

    keep: NDArray[np.bool_]
    is_repeated: NDArray[np.bool_]
    splits: NDArray[np.int8]
    ordinals: Mapping[int, int]
    dropped: Mapping[str, int]


def decide(
    paths: Sequence[Path], rows: Sequence[int], config: CorpusConfig, splits: SplitConfig
) -> list[Decision]:
    """Decide which documents of the corpus to drop; if `splits.by` is `shuffle`, also split them.

    Args:
        paths: Arrow files that the first pass wrote, one for each shard, in order.
        rows: Number of documents in each shard.
        config: Configuration of the corpus, which sets whether repeated and nearly repeated
            documents are dropped.
        splits: How documents are assigned to splits.

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
        with opened(path, [name]) as table:
            for chunk in table[name].chunks:
                yield chunk.to_numpy().copy()


def _has_signature(paths: Sequence[Path]) -> Iterator[NDArray[np.bool_]]:
    for path in paths:
        with opened(path, ["band_00"]) as table:
            yield table["band_00"].is_valid().to_numpy()


def _band(paths: Sequence[Path], band: int) -> NDArray[np.uint32]:
    """Read one band of the signature of each document that has one.

    Args:
        paths: Arrow files that the first pass wrote, in order.
        band: Number of the band, from 0.

    Returns:
        The MinHashes of the band, shape (signatures, BAND_WIDTH).
    """
    parts = [np.zeros((0, duplicates.BAND_WIDTH), dtype=np.uint32)]
    name = f"band_{band:02d}"
    for path in paths:
        with opened(path, [name]) as table:
            for chunk in table[name].chunks:
                values = np.frombuffer(chunk.buffers()[1] or b"", dtype=np.uint32)
                cells = values.reshape(-1, duplicates.BAND_WIDTH)
                parts.append(cells[chunk.is_valid().to_numpy(zero_copy_only=False)])
    return np.concatenate(parts)
