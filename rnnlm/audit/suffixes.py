"""Find the longest runs of characters in a text that occur verbatim in the training text.

The search is exact. It uses a suffix array (Manber and Myers 1993): the list of all byte offsets
(here *places*) in the training text, sorted by the suffixes that begin there. So suffixes with a
common beginning are neighbours in the list; an index into it is a *rank*.

Each suffix of a text is looked up by binary search, many suffixes at once. The search compares
eight bytes at a time (a *word*) as one big-endian number. The longest match is with one of the two
neighbours of the place where the suffix would be inserted.

Training documents end with the byte 0xFF, and texts that are looked up end with 0xFE. UTF-8 uses
neither byte, so no run crosses the end of a document. Runs begin only at the first byte of a
character.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.saved import MEND, read_array
from rnnlm.storage import atomic_path

MOST_BYTES = 50_000_000
"""Most bytes of training text that are searched, from its beginning. The suffix array takes four
times as much memory."""

_TEXT_FILE, _PLACES_FILE, _PAIRS_FILE = "text.npy", "places.npy", "pairs.npy"
_END, _QUERY_END = b"\xff", b"\xfe"
_WORD = 8
_AT_ONCE = 1 << 17
"""Number of suffixes that are looked up together."""
_LIMITS = np.array([1 << 8 * power for power in range(_WORD)], dtype=np.uint64)

Words = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Matches:
    """The longest run in the training text that begins at each character of some texts.

    Attributes:
        lengths: Length of the run in characters, shape (characters of all texts,).
        places: Byte offset in the training text where such a run begins, same shape; arbitrary if
            the run is empty.
        offsets: Text t has the characters `offsets[t]` to `offsets[t + 1]`; shape (texts + 1,).
    """

    lengths: Places
    places: Places
    offsets: Places

    @property
    def longest(self) -> Places:
        """Length of each text's longest run in characters, shape (texts,)."""
        padded = np.append(self.lengths, 0)  # the last text may be empty
        longest = np.maximum.reduceat(padded, self.offsets[:-1])
        return np.where(np.diff(self.offsets) > 0, longest, 0)

    def of(self, text: int) -> Places:
        """Return the run lengths of text number `text`, shape (characters of the text,)."""
        return self.lengths[self.offsets[text] : self.offsets[text + 1]]


@dataclass(frozen=True)
class SuffixArray:
    """The training text and its suffix array; the arrays may be mapped from disk.

    Attributes:
        text: The text as UTF-8 bytes, padded with seven more bytes, shape (bytes + 7,).
        places: Byte offsets in the text, sorted by the suffixes that begin there, shape (bytes,).
        pairs: For each pair of bytes, the number of suffixes that sort before all suffixes
            beginning with this pair, shape (65537,). It narrows the binary search.
    """

    text: NDArray[np.uint8]
    places: NDArray[np.integer[Any]]
    pairs: Places

    def find(self, texts: Sequence[str]) -> Matches:
        """Return the longest run in the training text that begins at each character of `texts`."""
        query = np.frombuffer(_joined(texts, _QUERY_END) + _QUERY_END * _WORD, dtype=np.uint8)
        is_start = (query & 0xC0) != 0x80  # the first byte of each character, and the end bytes
        is_start[-_WORD:] = False
        before = np.concatenate([[0], np.cumsum(is_start)])
        starts = np.flatnonzero(is_start & (query != _QUERY_END[0]))
        sizes, places = np.empty_like(starts), np.empty_like(starts)
        words = _words(query)
        # The order makes memory access faster, as similar suffixes are found near each other.
        order = starts[np.argsort(words[starts])] if len(starts) else starts
        rank = np.cumsum(is_start & (query != _QUERY_END[0])) - 1
        for first in range(0, len(order), _AT_ONCE):
            chunk = order[first : first + _AT_ONCE]
            sizes[rank[chunk]], places[rank[chunk]] = self._find(words, chunk)
        # Convert bytes to characters; an incomplete character at the end of a run does not count.
        lengths = before[starts + sizes + 1] - before[starts + 1]
        offsets = np.cumsum([0, *map(len, texts)])
        return Matches(lengths, places, offsets.astype(np.int64))

    def holds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text occurs verbatim within a training document, shape (texts,)."""
        parts = [text.encode("utf-8", "replace") + _QUERY_END for text in texts]
        query = np.frombuffer(b"".join([*parts, _QUERY_END * _WORD]), dtype=np.uint8)
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
        starts, is_held = np.cumsum(lengths) - lengths, np.zeros(len(parts), dtype=np.bool_)
        words = _words(query)
        for first in range(0, len(starts), _AT_ONCE):
            chunk = slice(first, first + _AT_ONCE)
            is_held[chunk] = self._find(words, starts[chunk])[0] == lengths[chunk] - 1
        return is_held

    def _find(self, query: NDArray[Any], starts: Places) -> tuple[Places, Places]:
        """Find the longest run that begins at each of some offsets of the looked-up texts.

        Args:
            query: The words that begin at each byte of the looked-up texts, from `_words`.
            starts: Byte offsets to look up, shape (starts,).

        Returns:
            The length of each run in bytes, and its place in the training text.
        """
        sizes, places = np.zeros_like(starts), np.zeros_like(starts)
        text = _words(self.text)
        wanted = query[starts].astype(np.uint64)
        pairs = (wanted >> np.uint64(48)).astype(np.int64)
        low, high = self.pairs[pairs], self.pairs[pairs + 1]
        first, last = np.zeros_like(low), np.full_like(low, len(self.places))  # to compare with
        lanes, depth = np.arange(len(starts)), 0
        while len(lanes):
            left = self._bisect(text, wanted, low, high, depth)
            below, above = np.maximum(left - 1, first), np.minimum(left, last - 1)
            shared_below = _shared(self._follow(text, below, depth), wanted)
            shared_above = _shared(self._follow(text, above, depth), wanted)
            sizes[lanes] = depth + np.maximum(shared_below, shared_above)
            nearest = np.where(shared_above >= shared_below, above, below)
            places[lanes] = self.places[nearest]
            goes_on = shared_above == _WORD
            lanes, wanted, left = lanes[goes_on], wanted[goes_on], left[goes_on]
            high = self._bisect(text, wanted, left, high[goes_on], depth, equal=True)
            first = low = left
            last = high
            depth += _WORD
            wanted = query[starts[lanes] + depth].astype(np.uint64)
        return sizes, places

    def _bisect(
        self,
        text: NDArray[Any],
        wanted: Words,
        low: Places,
        high: Places,
        depth: int,
        *,
        equal: bool = False,
    ) -> Places:
        """Return the first rank in [`low`, `high`) whose word is >= the wanted one, else `high`.

        The word of a rank is the eight bytes that begin `depth` bytes after its place. With
        `equal`, return the first rank whose word is greater than the wanted one.
        """
        while (is_open := low < high).any():
            middle = np.minimum((low + high) >> 1, len(self.places) - 1)
            words = self._follow(text, middle, depth)
            is_before = is_open & ((words <= wanted) if equal else (words < wanted))
            low = np.where(is_before, middle + 1, low)
            high = np.where(is_open & ~is_before, middle, high)
        return low

    def _follow(self, text: NDArray[Any], ranks: Places, depth: int) -> Words:
        """Return the word (eight bytes) that begins `depth` bytes after the place of each rank."""
        places = self.places[ranks].astype(np.int64) + depth
        found: Words = text[np.minimum(places, len(text) - 1)].astype(np.uint64)
        return found


def write_suffixes(texts: Iterable[str], folder: Path, most_bytes: int = MOST_BYTES) -> int:
    """Write the suffix array of the first bytes of some texts; return the number of bytes.

    Raises:
        StorageError: The files cannot be written.
    """
    parts: list[bytes] = []
    left = most_bytes
    for text in texts:
        data = text.encode("utf-8", "replace")[:left]
        parts.append(data + _END)
        left -= len(data)
        if left <= 0:
            break
    text_bytes = np.frombuffer(b"".join(parts), dtype=np.uint8)
    import pydivsufsort

    places = pydivsufsort.divsufsort(text_bytes.copy())
    padded = np.concatenate([text_bytes, np.full(_WORD - 1, _END[0], dtype=np.uint8)])
    write_array(folder / _TEXT_FILE, padded)
    write_array(folder / _PLACES_FILE, places)
    write_array(folder / _PAIRS_FILE, _pairs(padded, len(text_bytes)))
    return len(text_bytes)


def open_suffixes(folder: Path) -> SuffixArray:
    """Return the suffix array that `write_suffixes` wrote; its arrays are memory-mapped."""
    names = (_TEXT_FILE, _PLACES_FILE, _PAIRS_FILE)
    return SuffixArray(*(read_array(folder / name, MEND, mapped=True) for name in names))


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array as `.npy`, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def _pairs(padded: NDArray[np.uint8], count: int) -> Places:
    """Return for each pair of bytes how many suffixes sort before it; see `SuffixArray.pairs`.

    Args:
        padded: The padded text, shape (bytes + 7,).
        count: Number of suffixes, which is the number of bytes without the padding.
    """
    times = np.zeros((1 << 16) + 1, dtype=np.int64)
    for start in range(0, count, 1 << 22):
        part = padded[start : min(start + (1 << 22), count) + 1].astype(np.int64)
        times[1:] += np.bincount((part[:-1] << 8) | part[1:], minlength=1 << 16)
    return np.cumsum(times)


def _joined(texts: Iterable[str], end: bytes) -> bytes:
    return b"".join(text.encode("utf-8", "replace") + end for text in texts)


def _words(data: NDArray[np.uint8]) -> NDArray[Any]:
    """View the eight bytes that begin at each offset as a big-endian number, shape (bytes - 7,)."""
    return np.ndarray((len(data) - _WORD + 1,), dtype=">u8", buffer=data.data, strides=(1,))


def _shared(first: Words, second: Words) -> Places:
    """Return the number of leading bytes that two words have in common, 0 to 8."""
    return _WORD - np.searchsorted(_LIMITS, first ^ second, side="right")
