"""Cut text into pieces: words with the space before them, runs of punctuation, single line ends.

Many documents are joined into one buffer and cut at once. Each byte has a class (word, punctuation,
space, control), and a piece usually ends where the class changes. Every byte is in exactly one
piece, so joining the pieces restores the text. Characters beyond ASCII count as parts of words.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm import arrow
from rnnlm.tokenizer.contract import END, joined, translated

PATTERN = (
    r" ?[0-9A-Za-z_\x{80}-\x{10FFFF}]+(?:'[0-9A-Za-z_\x{80}-\x{10FFFF}]+)*"
    r"| ?[!-/:-@\[-^`{-~]+| +(?= [!-~\x{80}-\x{10FFFF}])| +|[\x00-\x1F\x7F]"
)
"""A regular expression (Oniguruma syntax) that matches the same pieces, for the library that learns
BPE merges."""

_WORD, _PUNCTUATION, _SPACE, _SINGLE = 1, 2, 3, 4
_APOSTROPHE = ord("'")


def _class(byte: int) -> int:
    if byte == END or byte < 0x20 or byte == 0x7F:
        return _SINGLE
    if byte >= 0x80 or chr(byte).isalnum() or byte == ord("_"):
        return _WORD
    return _SPACE if byte == 0x20 else _PUNCTUATION


_CLASSES = bytes(_class(byte) for byte in range(256))


class Pieces(NamedTuple):
    """The pieces of a batch, as indices into its distinct pieces.

    Attributes:
        distinct: The distinct pieces, an Arrow array of large binaries; a document's end is a piece
            of one byte, `END`.
        indices: Index into `distinct` of each piece, in order; shape (pieces,).
    """

    distinct: pa.Array
    indices: NDArray[np.int32]

    @property
    def ends(self) -> NDArray[np.bool_]:
        """Whether each piece is a document's end, shape (pieces,)."""
        end = pc.index(self.distinct, arrow.binaries([bytes([END])])[0]).as_py()
        is_end: NDArray[np.bool_] = self.indices == end
        return is_end


def pieces(texts: pa.Array) -> Pieces:
    """Cut documents into words, runs of punctuation, spaces and single control characters.

    A word or a run of punctuation includes one space before it. Line ends are control characters.
    """
    data, _ = joined(texts)
    classes = translated(data, _CLASSES).copy()
    marks = np.flatnonzero(data == _APOSTROPHE)  # marks + 1 exists: the last byte is an END
    inner = (
        (classes[np.maximum(marks - 1, 0)] == _WORD) & (classes[marks + 1] == _WORD) & (marks > 0)
    )
    classes[marks[inner]] = _WORD
    before, after = classes[:-1], classes[1:]
    is_start = np.ones(len(data), dtype=np.bool_)
    is_start[1:] = (after != before) | (after == _SINGLE)
    leads_on = (before == _SPACE) & (after != _SPACE) & (after != _SINGLE)
    is_start[1:][leads_on] = False
    is_start[:-1][leads_on] = True
    return _distinct(data, np.flatnonzero(is_start))


def words(texts: pa.Array) -> Pieces:
    """Cut documents at spaces; each line end is a piece, and spaces are in no piece."""
    data, _ = joined(texts)
    is_end = (data == END) | (data == ord("\n"))
    is_space = np.isin(data, np.frombuffer(b" \t\r\x0b\x0c", dtype=np.uint8))
    classes = np.where(is_end, _SINGLE, np.where(is_space, _SPACE, _WORD)).astype(np.uint8)
    is_start = np.ones(len(data), dtype=np.bool_)
    is_start[1:] = (classes[1:] != classes[:-1]) | is_end[1:]
    starts = np.flatnonzero(is_start)
    found = _distinct(data, starts)
    return Pieces(found.distinct, found.indices[classes[starts] != _SPACE])


def _distinct(data: NDArray[np.uint8], starts: NDArray[np.int64]) -> Pieces:
    offsets = np.append(starts, len(data)).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    found = pa.Array.from_buffers(pa.large_binary(), len(starts), buffers).dictionary_encode()
    return Pieces(found.dictionary, arrow.numbers(found.indices))
