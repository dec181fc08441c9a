"""Detect text that a model was trained on, by hashes of sampled windows of 13 words.

The file of a base contains such hashes of the base's training text. Held-out documents that the
base was trained on would make scores too good, and texts that a model writes may be copies of the
base's text.

Source: 13-word windows, Brown et al. 2020 (GPT-3), appendix C; whether a window is sampled depends
on its hash alone, as in Broder 1997.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from rnnlm.errors import EmptySplitError

WORDS = 13
SAMPLED = 32
"""One in this many windows is in the sample."""
SEEN_SHARE = 0.2
"""Share of a text's sampled windows that must be known for the text to count as seen."""

_WORD = re.compile(r"[^\W_]+")
_PRIME = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def windows(text: str) -> Hashes:
    """Return the hash of each window of `WORDS` consecutive words of a text, in order.

    Case, punctuation and line ends make no difference.
    """
    words = np.array([_word_hash(word) for word in _WORD.findall(text.lower())], dtype=np.uint64)
    count = len(words) - WORDS + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    total = np.zeros(count, np.uint64)
    for place in range(WORDS):
        total = total * _PRIME + words[place : place + count]
    return mixed(total)


def is_sampled(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which windows are in the sample, shape (windows,)."""
    sampled: NDArray[np.bool_] = hashes % np.uint64(SAMPLED) == 0
    return sampled


def sample(texts: Iterable[str]) -> Hashes:
    """Return the hashes of all sampled windows of some texts, sorted and without repetitions."""
    found = [hashes[is_sampled(hashes)] for hashes in map(windows, texts)]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))


def seen_windows(text: str, known: Hashes) -> tuple[int, int]:
    """Return how many sampled windows of a text are known, and how many sampled windows it has.

    Args:
        text: Any text.
        known: Sorted hashes of known windows, as returned by `sample`.
    """
    hashes = windows(text)
    sampled = hashes[is_sampled(hashes)]
    if not len(known):
        return 0, len(sampled)
    places = np.minimum(np.searchsorted(known, sampled), len(known) - 1)
    return int((known[places] == sampled).sum()), len(sampled)


def is_seen(text: str, known: Hashes) -> bool:
    """Return whether at least `SEEN_SHARE` of a text's sampled windows is among `known`."""
    found, sampled = seen_windows(text, known)
    return found > 0 and found >= SEEN_SHARE * sampled


def unread(texts: Sequence[str], known: Hashes, whose: str) -> NDArray[np.bool_]:
    """Return which texts of a test split have not been seen before, shape (texts,).

    Args:
        texts: The documents.
        known: Sorted hashes of the text that has been seen, as returned by `sample`.
        whose: Name of the model that has seen it, for the error message.

    Raises:
        EmptySplitError: All texts have been seen.
    """
    kept = np.array([not is_seen(text, known) for text in texts], dtype=np.bool_)
    if len(kept) and not kept.any():
        raise EmptySplitError(
            f"all {len(kept):,} test documents occur in the text that {whose} has read, so a score "
            "would mean nothing; set training.base = 'none', or hold out other text"
        )
    return kept


@lru_cache(maxsize=1 << 20)
def _word_hash(word: str) -> int:
    digest = blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def mixed(values: Hashes) -> Hashes:
    """Mix the bits of hashes, so that every bit is equally random (splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
