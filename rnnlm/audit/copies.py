"""Find generated texts that are copies or near copies of training texts.

A copy has the same `forms.comparison_key` as a training text. Copies are found among all training
texts by a 64-bit hash of this key. With a million generated texts and a million training texts, one
audit in twenty million reports a false copy, because the hashes of two different texts agree.

For near copies, a text of `duplicates.SHORTEST` characters or more is long, and a shorter one is
short. A long text is a near copy if the Jaccard similarity of its word sequences to those of a
training text is at least `SIMILAR`, estimated by MinHash (Broder 1997). A short text has too few
word sequences. It is a near copy if it has the same words as a training text in any order, ignoring
case, accents, punctuation, plural s and repetitions. This is the key collision method "fingerprint"
of OpenRefine.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit.novelty import WORD
from rnnlm.audit.suffixes import write_array
from rnnlm.composing import normalize
from rnnlm.corpora.duplicates import (
    BANDS,
    SHORTEST,
    SIGNATURE_SIZE,
    Signatures,
    band_keys,
    signatures,
)
from rnnlm.corpora.forms import normalized
from rnnlm.saved import MEND, read_array

SIMILAR = 0.8
"""Least Jaccard similarity of a near copy; the same as for near duplicates in `CleaningConfig`."""
MOST_CANDIDATES = 64
"""Most training texts that a text is compared with per band. A band is a part of a MinHash
signature; only training texts with an equal band are compared."""

_ESSENCES_FILE, _FINGERPRINTS_FILE = "essences.npy", "fingerprints.npy"
_SIGNATURES_FILE, _KEYS_FILE, _ORDER_FILE = "signatures.npy", "keys.npy", "order.npy"

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Training:
    """An index of the training texts that finds copies; its arrays may be mapped from disk.

    The module docstring explains long and short texts.

    Attributes:
        essences: Hashes of the training texts' comparison keys, in ascending order.
        fingerprints: Hashes of the short texts' fingerprints, in ascending order.
        signatures: MinHash signatures of the long texts, shape (long texts, SIGNATURE_SIZE).
        keys: For each band, the hashes of this part of all signatures, in ascending order; shape
            (BANDS, long texts).
        order: Index of the signature that each of the `keys` belongs to, shape (BANDS, long texts).
    """

    essences: Hashes
    fingerprints: Hashes
    signatures: Signatures
    keys: Hashes
    order: NDArray[np.uint32]

    def has(self, essences: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether a training text has each of some comparison keys, shape (texts,)."""
        return _are_in(hashes(essences), self.essences)

    def nearly_has(self, subjects: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text is a copy or near copy of a training text, shape (texts,)."""
        is_long = np.array([len(subject) >= SHORTEST for subject in subjects], dtype=np.bool_)
        found = np.zeros(len(subjects), dtype=np.bool_)
        short = np.flatnonzero(~is_long).tolist()
        found[short] = _are_in(hashes([fingerprint(subjects[n]) for n in short]), self.fingerprints)
        long = np.flatnonzero(is_long).tolist()
        found[long] = self._are_similar(signatures([subjects[n] for n in long]))
        return found

    def _are_similar(self, wanted: Signatures) -> NDArray[np.bool_]:
        found = np.zeros(len(wanted), dtype=np.bool_)
        for band, keys in enumerate(_band_keys(wanted)):
            known, order = self.keys[band], self.order[band]
            first = np.searchsorted(known, keys, side="left")
            last = np.searchsorted(known, keys, side="right")
            for step in range(MOST_CANDIDATES):
                mine = np.flatnonzero((first + step < last) & ~found)
                if not len(mine):
                    break
                others = self.signatures[order[first[mine] + step]]
                agreeing = (others == wanted[mine]).sum(axis=1)
                found[mine] = agreeing >= SIMILAR * SIGNATURE_SIZE
        return found


class TrainingWriter:
    """Takes training texts in batches and writes them as the files of a `Training` index."""

    def __init__(self) -> None:
        self._essences: list[Hashes] = []
        self._fingerprints: list[Hashes] = []
        self._signatures: list[Signatures] = [signatures([])]

    def add(self, subjects: Sequence[str]) -> None:
        """Add some texts, given their subjects.

        The subject of a colour is its name, and of another text the whole text; see
        `forms.read_subject`.
        """
        self._essences.append(hashes([normalized(subject) for subject in subjects]))
        short = [fingerprint(subject) for subject in subjects if len(subject) < SHORTEST]
        self._fingerprints.append(hashes(short))
        long = [subject for subject in subjects if len(subject) >= SHORTEST]
        self._signatures.append(signatures(long))

    def write(self, folder: Path) -> None:
        """Write the index of all texts that were added.

        Raises:
            StorageError: A file cannot be written.
        """
        rows = np.concatenate(self._signatures)
        keys = _band_keys(rows)
        order = np.argsort(keys, axis=1, kind="stable")
        write_array(folder / _ESSENCES_FILE, np.unique(np.concatenate(self._essences)))
        write_array(folder / _FINGERPRINTS_FILE, np.unique(np.concatenate(self._fingerprints)))
        write_array(folder / _SIGNATURES_FILE, rows)
        write_array(folder / _KEYS_FILE, np.take_along_axis(keys, order, axis=1))
        write_array(folder / _ORDER_FILE, order.astype(np.uint32))


def open_training(folder: Path) -> Training:
    """Return the index that `TrainingWriter` wrote; its arrays are memory-mapped."""
    names = (_ESSENCES_FILE, _FINGERPRINTS_FILE, _SIGNATURES_FILE, _KEYS_FILE, _ORDER_FILE)
    return Training(*(read_array(folder / name, MEND, mapped=True) for name in names))


def hashes(texts: Sequence[str]) -> Hashes:
    """Return a hash of each text, the same on every machine (SipHash-2-4); shape (texts,)."""
    if not texts:
        return np.zeros(0, dtype=np.uint64)
    cells = np.empty(len(texts), dtype=object)
    cells[:] = texts
    from pandas.util import hash_array

    return np.asarray(hash_array(cells, categorize=False), dtype=np.uint64)


def fingerprint(subject: str) -> str:
    """Return the distinct words of a text in alphabetical order, in lower case and simplified.

    Accents, apostrophes and plural s are removed. A text without words is returned as it is.
    """
    plain = normalize("NFKD", subject.lower())
    if not plain.isascii():
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = plain.replace("'", "").replace("’", "")
    return " ".join(sorted({_without_plural(word) for word in WORD.findall(plain)})) or subject


def _without_plural(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word


def _are_in(wanted: Hashes, known: Hashes) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.asarray(known[places] == wanted)


def _band_keys(rows: Signatures) -> NDArray[Any]:
    """Return a hash of each band (part) of each signature, shape (BANDS, signatures)."""
    return np.stack([band_keys(band) for band in np.split(rows, BANDS, axis=1)])
