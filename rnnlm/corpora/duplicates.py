"""Repeated and nearly repeated documents, found over a whole corpus in bounded memory.

Near duplicates are found by MinHash (Broder 1997) over shingles, which are overlapping strings of
24 bytes. The signature of a document is 128 MinHashes, and is divided into 32 bands of 4. By
locality-sensitive hashing, only documents with an equal band are compared. The later document of
such a pair is a near duplicate if the share of equal MinHashes, which estimates the Jaccard
similarity of the two sets of shingles, reaches a threshold.
"""

import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnnlm.corpora.shingling import shingle_hashes

SIGNATURE_SIZE = 128
"""MinHashes per document; the estimated similarity then has a standard error of at most 0.044."""
BANDS = 32
"""Bands per signature, of four MinHashes each. Two documents with a similarity of 0.8 have at least
one equal band with a probability of 1 - (1 - 0.8⁴)³² > 0.999."""
BAND_WIDTH = SIGNATURE_SIZE // BANDS
SHORTEST = 200
"""Length in characters below which a document has too few shingles to compare."""
TEXTS_AT_ONCE = 200
"""Number of texts whose signatures are computed together: few enough to stay in a processor's
cache."""
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
    """Find the documents that have the same hash as an earlier document.

    Args:
        read_hashes: Yields the hashes of all documents in order, block by block; called several
            times if there are more than `HASHES_AT_ONCE`.
        count: Number of documents.
        counted: Whether to also number the occurrences, which takes memory for every repetition.

    Returns:
        Whether each document is a repetition, shape (count,); and a mapping from the index of each
        repetition to the number of its occurrence: 2 for the second occurrence of the hash, 3 for
        the third, and so on. The mapping is empty if `counted` is false.
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
        read_band: Called with the number of a band, from 0; returns this band of the signatures of
            all documents, in order, shape (count, BAND_WIDTH).
        count: Number of documents that have a signature.
        threshold: Least estimated Jaccard similarity of a near duplicate to an earlier document.

    Returns:
        Whether each document is a near duplicate of an earlier one, shape (count,).
    """
    found = np.zeros(0, dtype=np.int64)  # pairs as single numbers, which are sorted faster
    for band in range(BANDS):
        earlier, later = _candidates(read_band(band)).T
        found = np.unique(np.concatenate([found, earlier * count + later]))
    pairs = np.stack(np.divmod(found, max(1, count)), axis=1)
    agreeing = np.zeros(len(pairs), dtype=np.int64)
    if len(pairs):
        for band in range(BANDS):
            part = read_band(band)
            agreeing += (part[pairs[:, 0]] == part[pairs[:, 1]]).sum(axis=1)
    is_near = np.zeros(count, dtype=np.bool_)
    is_near[pairs[agreeing >= threshold * SIGNATURE_SIZE, 1]] = True
    return is_near


def band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a hash of one band of each signature, shape (signatures,).

    Args:
        band: The MinHashes of this band for all signatures, shape (signatures, BAND_WIDTH).
    """
    return np.asarray(band.astype(np.uint64) @ _POWERS)


def _of_part(
    blocks: Iterator[NDArray[np.uint64]], part: int, parts: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Select the hashes whose remainder, divided by `parts`, is `part`.

    Args:
        blocks: Hashes of all documents in order, block by block.
        part: Remainder of the hashes to select.
        parts: Number of parts that the hashes are divided into.

    Returns:
        The indices of the selected documents and their hashes, each of shape (selected,).
    """
    numbers, hashes, seen = [], [], 0
    for block in blocks:
        mine = np.flatnonzero(block % np.uint64(parts) == part)
        numbers.append(mine + seen)
        hashes.append(block[mine])
        seen += len(block)
    empty = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    return (np.concatenate(numbers), np.concatenate(hashes)) if numbers else empty


def _candidates(band: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return pairs of documents whose signatures have an equal band.

    Not all such pairs are returned: each document is paired with the first document whose band is
    equal, and with the last such document before it.

    Args:
        band: The MinHashes of one band for all signatures, shape (signatures, BAND_WIDTH).

    Returns:
        Indices of the earlier and the later document of each pair, shape (pairs, 2).
    """
    keys = band_keys(band)
    order = np.argsort(keys)  # not stable, which is several times as fast
    ordered = keys[order]
    same = np.zeros(len(order), dtype=np.bool_)
    same[1:] = ordered[1:] == ordered[:-1]
    if not same.any():
        return np.zeros((0, 2), dtype=np.int64)
    in_group = same | np.append(same[1:], False)
    order[in_group] = order[in_group][np.lexsort((order[in_group], ordered[in_group]))]
    places = np.arange(len(order))
    first = np.maximum.accumulate(np.where(same, 0, places))
    later = places[same]
    pairs = np.concatenate(
        [np.stack([first[later], later], axis=1), np.stack([later - 1, later], axis=1)]
    )
    found: NDArray[np.int64] = order[pairs]
    return found
