"""Documents as arrays of token ids, the input of models, batches and scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOUNDARY_ID = 0
"""Id of the one special token that begins and ends every document."""


@dataclass(frozen=True)
class TokenArrays:
    """The documents of a split as arrays, in memory or memory-mapped.

    Attributes:
        tokens: Token ids of all documents, end to end, shape (tokens,).
        offsets: Document d is `tokens[offsets[d] : offsets[d + 1]]`; shape (documents + 1,).
        characters: Characters per document, shape (documents,).
        bytes: UTF-8 bytes per document, shape (documents,).
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    offsets: NDArray[np.int64]
    characters: NDArray[np.int64]
    bytes: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per document, shape (documents,)."""
        return np.diff(self.offsets)

    def only(self, kept: NDArray[np.bool_]) -> "TokenArrays":
        """Return some of the documents, in order.

        Args:
            kept: True for each document to keep, shape (documents,).
        """
        if kept.all():
            return self
        lengths = self.lengths[kept]
        changes = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2)
        runs = [self.tokens[start:end] for start, end in self.offsets[changes].tolist()]
        return TokenArrays(
            tokens=np.concatenate([self.tokens[:0], *runs]),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            characters=self.characters[kept],
            bytes=self.bytes[kept],
        )

    def first(self, tokens: int) -> "TokenArrays":
        """Return the first documents, with at most `tokens` tokens in total.

        If the first document alone is longer, return its beginning, with characters and bytes in
        proportion.
        """
        count = int(np.searchsorted(self.offsets, tokens, side="right")) - 1
        if count == 0:
            share = tokens / int(self.offsets[1])
            return TokenArrays(
                tokens=self.tokens[:tokens],
                offsets=np.array([0, tokens], dtype=np.int64),
                characters=np.rint(share * self.characters[:1]).astype(np.int64),
                bytes=np.rint(share * self.bytes[:1]).astype(np.int64),
            )
        return TokenArrays(
            tokens=self.tokens[: int(self.offsets[count])],
            offsets=self.offsets[: count + 1],
            characters=self.characters[:count],
            bytes=self.bytes[:count],
        )


def spread(sizes: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Choose documents at even intervals, up to an approximate total size; at least one document.

    Args:
        sizes: Size of each document, shape (documents,).
        most: Approximate total size of the chosen documents; all are chosen if their total is less.

    Returns:
        True for each chosen document, shape (documents,).
    """
    return every(most / max(1, int(sizes.sum())), 0, len(sizes))


def every(share: float, start: int, count: int) -> NDArray[np.bool_]:
    """Choose items at even intervals from a sequence, one part of the sequence at a time.

    The first item of the sequence is always chosen.

    Args:
        share: Share of items to choose; 1 or more chooses all.
        start: Number of this part's first item in the sequence.
        count: Number of items in this part.

    Returns:
        True for each chosen item, shape (count,).
    """
    numbers = np.ceil(np.arange(start, start + count + 1) * min(1.0, share))
    chosen: NDArray[np.bool_] = numbers[1:] > numbers[:-1]
    return chosen
