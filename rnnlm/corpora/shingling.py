"""Hashes of the shingles of a text, which are the overlapping strings of 24 bytes at word starts.

Texts are compared by these hashes to find near duplicates. They are computed by `shingles.c`, which
setuptools builds, or by NumPy if it was not built.
"""

from ctypes import CDLL, c_int64, c_long, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
SHINGLE = 24
"""Bytes in a shingle, about five words. A shingle begins at the beginning of each word. In a word
of more than this many bytes, as in scripts without spaces, DNA and base64, a shingle begins at
every character."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_LOWER = bytes(b + 32 if 65 <= b <= 90 else b for b in range(256))
_IS_WORD = np.array([b >= 128 or chr(b).isalnum() for b in range(256)])


def shingle_hashes(texts: pa.LargeStringArray) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hashes of the shingles of some texts.

    Before a text is hashed, ASCII letters are lower-cased, and each run of white space becomes a
    single space. The hashes are the same whether they are computed by C or by NumPy.

    Args:
        texts: Texts, without nulls.

    Returns:
        The hashes of all texts, concatenated, shape (shingles,); and the index at which the hashes
        of each text begin, followed by the number of hashes, shape (texts + 1,).
    """
    native = _library()
    if native is None:
        hashes = [hashes_by_numpy(text) for text in texts.to_pylist()]
        bounds = np.cumsum([0, *map(len, hashes)], dtype=np.int64)
        return np.concatenate([np.zeros(0, np.uint64), *hashes]), bounds
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    sizes = np.diff(offsets)
    found = np.empty(int(sizes.sum()) + len(texts), np.uint64)
    bounds = np.empty(len(texts) + 1, np.int64)
    scratch = np.empty(int(sizes.max(initial=0)) + SHINGLE + 8, np.uint8)
    places = np.empty(len(scratch), np.int64)
    arrays = (found, bounds, scratch, places)
    count = native.shingle_hashes(
        data.ctypes.data, offsets.ctypes.data, len(texts), *(array.ctypes.data for array in arrays)
    )
    return found[:count], bounds


def hashes_by_numpy(text: str) -> Hashes:
    """Return the hash of each shingle of a text, computed by NumPy."""
    data = " ".join(text.split()).encode("utf-8", "replace").translate(_LOWER)
    codes = np.frombuffer(data + bytes(SHINGLE), dtype=np.uint8)
    is_word = _IS_WORD[codes[: len(data)]]
    is_start = is_word & ~np.concatenate([[False], is_word[:-1]])
    is_start |= _in_long_words(codes[: len(data)], is_word)
    starts = np.flatnonzero(is_start)
    last = max(1, int(np.searchsorted(starts, len(data) - SHINGLE, side="right")))
    starts = starts[:last]
    words = np.ndarray((len(codes) - 7,), dtype="<u8", buffer=codes.data, strides=(1,)).copy()
    hashes = np.zeros(len(starts), dtype=np.uint64)
    for place in range(0, SHINGLE, 8):
        hashes = (hashes ^ words[starts + place]) * _PRIME
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _in_long_words(codes: NDArray[np.uint8], is_word: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether each byte is the first of a character in a word that is longer than a shingle.

    Args:
        codes: Bytes of a text in UTF-8, shape (bytes,).
        is_word: Whether each byte belongs to a word, shape (bytes,).

    Returns:
        One value for each byte, shape (bytes,).
    """
    bounds = np.flatnonzero(np.diff(is_word, prepend=False, append=False))
    starts, ends = bounds[::2], bounds[1::2]
    is_long = ends - starts > SHINGLE
    inside = np.zeros(len(codes) + 1, dtype=np.int8)
    inside[starts[is_long]] += 1
    inside[ends[is_long]] -= 1
    is_lead = (codes & 0xC0) != 0x80
    found: NDArray[np.bool_] = is_lead & (np.cumsum(inside[:-1], dtype=np.int8) > 0)
    return found


@cache
def _library() -> CDLL | None:
    paths = (Path(__file__).with_name(f"_shingles{suffix}") for suffix in EXTENSION_SUFFIXES)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    library = CDLL(str(path))
    library.shingle_hashes.restype = c_int64
    library.shingle_hashes.argtypes = (
        c_void_p, c_void_p, c_long, c_void_p, c_void_p, c_void_p, c_void_p,
    )  # fmt: skip
    return library
