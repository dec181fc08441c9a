"""Hashes of texts and paragraphs, by which documents are identified, compared and split.

The code exists in C (`cutting.c`, which setuptools builds) and in Python, which is used if the C
code was not built.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnnlm.corpora.compiled import cutting as _native

Hashes = NDArray[np.uint64]


def content_hash(text: str) -> int:
    """Return a 64-bit hash of a text; equal texts have equal hashes."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def content_hashes(texts: pa.LargeStringArray) -> Hashes:
    """Return the `content_hash` of each text of a column without nulls, shape (texts,)."""
    if not _native:
        return _by_python(texts.to_pylist())
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    return np.frombuffer(_native.hashes(texts.buffers()[2] or b"", offsets), np.uint64)


def word_hashes(text: str, bounds: NDArray[np.int64]) -> Hashes:
    """Return the `content_hash` of each part of a text, shape (parts,).

    Before a part is hashed, each run of white space becomes a single space, and white space at the
    beginning and end is removed.

    Args:
        text: The text.
        bounds: Start and end offsets of each part in characters, shape (parts, 2).
    """
    if _native:
        found = _native.word_hashes(text, np.ascontiguousarray(bounds).tobytes())
        return np.frombuffer(found, np.uint64)
    return _by_python(" ".join(text[start:end].split()) for start, end in bounds.tolist())


def _by_python(texts: Iterable[str]) -> Hashes:
    return np.array([content_hash(text) for text in texts], np.uint64)
