"""Repeated and nearly repeated documents, found over a whole corpus in bounded memory.

Near duplicates are found by MinHash (Broder 1997) over shingles, with locality-sensitive hashing:
documents that agree in a band of their signatures are compared, and the later one is dropped if
the estimated Jaccard similarity reaches the threshold.
"""

import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnnlm.corpora.shingling import shingle_hashes

SIGNATURE_SIZE = 128
"""MinHashes per document; the similarity then has a standard error of at most 0.044."""
BANDS = 32
"""Bands per signature, of four MinHashes each: a pair of similarity 0.8 agrees in at least one band
with probability 1 - (1 - 0.8⁴)³² > 0.999."""
BAND_WIDTH = SIGNATURE_SIZE // BANDS
SHORTEST = 200
"""Length in characters below which a document has too few shingles to compare."""
TEXTS_AT_ONCE = 200
"""Texts that are signed together: few enough to stay in a processor's cache."""
HASHES_AT_ONCE = 1 << 24
"""Approximate number of hashes in memory at a time."""
SEED = 1

Signatures = NDArray[np.uint32]
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.array(
    [pow(int(_PRIME), power, 1 << 64) for power in range(BAND_WIDTH)], dtype=np.uint64
)


def signatures(texts: pa.LargeStringArray | Sequence[str]) -> Signatures:
    """Return the MinHash signature of each text, shape (texts, SIGNATURE_SIZE)."""
    if not len(texts):
        return np.zeros((0, SIGNATURE_SIZE), dtype=np.uint32)
    import rensa

    column = texts if isinstance(texts, pa.Array) else pa.array([*texts], pa.large_string())
    signed = np.empty((len(column), SIGNATURE_SIZE), dtype=np.uint32)
    row = struct.Struct(f"{SIGNATURE_SIZE}I")
    for start in range(0, len(column), TEXTS_AT_ONCE):
        hashes = shingle_hashes(column[start : start + TEXTS_AT_ONCE])
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(*hashes, SIGNATURE_SIZE, SEED)
        rows = b"".join(row.pack(*values) for values in matrix.to_rows())
        signed[start : start + TEXTS_AT_ONCE] = np.frombuffer(rows, np.uint32).reshape(
            -1, SIGNATURE_SIZE
        )
    return signed


def repeated(
    read_hashes: Callable[[], Iterator[NDArray[np.uint64]]], count: int, *, counted: bool = True
) -> tuple[NDArray[np.bool_], dict[int, int]]:
    """Find the documents whose hash occurred earlier.

    Args:
        read_hashes: Yields the hashes of all documents in order, block by block; called several
            times if there are more than `HASHES_AT_ONCE`.
        count: Number of documents.
        counted: Whether to return ordinals, which take memory for every repetition.

    Returns:
        Whether each document is a repetition, shape (count,), and the ordinal of each repetition by
        its number: 2 for the second occurrence, 3 for the third, and so on.
    """
    is_repeated = np.zeros(count, dtype=np.bool_)
    ordinals: dict[int, int] = {}
    parts = -(-count // HASHES_AT_ONCE)
    for part in range(parts):
        numbers, hashes = _of_part(read_hashes(), part, parts)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        same = np.zeros(len(ordered), dtype=np.bool_)
        same[1:] = ordered[1:] == ordered[:-1]
        is_repeated[numbers[order[same]]] = True
        if not counted:
            continue
        ordinal = 1
        for place in np.flatnonzero(same):
            ordinal = ordinal + 1 if place and same[place - 1] else 2
            ordinals[int(numbers[order[place]])] = ordinal
    return is_repeated, ordinals


def near_duplicates(
    read_band: Callable[[int], NDArray[np.uint32]], count: int, threshold: float
) -> NDArray[np.bool_]:
    """Find the documents that nearly repeat an earlier one.

    Args:
        read_band: Given a band's number, returns that band of every signature, shape
            (count, BAND_WIDTH), documents in order.
        count: Number of documents that have a signature.
        threshold: Least estimated Jaccard similarity of a near duplicate.

    Returns:
        Whether each document is a near duplicate of an earlier one, shape (count,).
    """
    pairs = np.zeros((0, 2), dtype=np.int64)
    for band in range(BANDS):
        pairs = np.unique(np.concatenate([pairs, _candidates(read_band(band))]), axis=0)
    agreeing = np.zeros(len(pairs), dtype=np.int64)
    if len(pairs):
        for band in range(BANDS):
            part = read_band(band)
            agreeing += (part[pairs[:, 0]] == part[pairs[:, 1]]).sum(axis=1)
    is_near = np.zeros(count, dtype=np.bool_)
    is_near[pairs[agreeing >= threshold * SIGNATURE_SIZE, 1]] = True
    return is_near


def band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return one hash for a band of each signature, shape (signatures,).

    Args:
        band: One band of all signatures, shape (signatures, BAND_WIDTH).
    """
    return np.asarray(band.astype(np.uint64) @ _POWERS)


def _of_part(
    blocks: Iterator[NDArray[np.uint64]], part: int, parts: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the numbers and values of the hashes that fall into one of `parts` parts."""
    numbers, hashes, seen = [], [], 0
    for block in blocks:
        mine = np.flatnonzero(block % np.uint64(parts) == part)
        numbers.append(mine + seen)
        hashes.append(block[mine])
        seen += len(block)
    empty = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    return (np.concatenate(numbers), np.concatenate(hashes)) if numbers else empty


def _candidates(band: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return pairs (earlier, later) that agree in a band.

    Each document is paired with the first document of the same key and with the one before it.
    """
    keys = band_keys(band)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = np.zeros(len(order), dtype=np.bool_)
    same[1:] = ordered[1:] == ordered[:-1]
    places = np.arange(len(order))
    first = np.maximum.accumulate(np.where(same, 0, places))
    later = places[same]
    pairs = np.concatenate(
        [np.stack([first[later], later], axis=1), np.stack([later - 1, later], axis=1)]
    )
    found: NDArray[np.int64] = order[pairs]
    return found
