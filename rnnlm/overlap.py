"""Whether a text has been seen before, by hashes of a sample of its windows of 13 words.

A base model carries the sample of its own training text. What a corpus holds out and the base has
read would make scores false, and what a model writes may be copied from the base's text.

Source: 13-word windows, Brown et al. 2020 (GPT-3), appendix C; which windows are sampled depends
on their hash alone, as in Broder 1997.
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
"""One of so many windows is in the sample."""
SEEN_SHARE = 0.2
"""Share of a text's sampled windows from which on it counts as seen."""

_WORD = re.compile(r"[^\W_]+")
_PRIME = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def windows(text: str) -> Hashes:
    """Return the hash of each window of `WORDS` words of a text, in order.

    Case, punctuation and line ends do not count.
    """
    words = np.array([_word_hash(word) for word in _WORD.findall(text.lower())], dtype=np.uint64)
    count = len(words) - WORDS + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    total = np.zeros(count, np.uint64)
    for place in range(WORDS):
        total = total * _PRIME + words[place : place + count]
    return _mixed(total)


def is_sampled(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which windows are in the sample, shape (windows,)."""
    sampled: NDArray[np.bool_] = hashes % np.uint64(SAMPLED) == 0
    return sampled


def sample(texts: Iterable[str]) -> Hashes:
    """Return the sampled hashes of some texts, sorted, each once."""
    found = [hashes[is_sampled(hashes)] for hashes in map(windows, texts)]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))


def seen_windows(text: str, known: Hashes) -> tuple[int, int]:
    """Return how many sampled windows of a text are known, and how many it has.

    Args:
        text: Any text.
        known: Sorted, as `sample` returns it.
    """
    hashes = windows(text)
    sampled = hashes[is_sampled(hashes)]
    if not len(known):
        return 0, len(sampled)
    places = np.minimum(np.searchsorted(known, sampled), len(known) - 1)
    return int((known[places] == sampled).sum()), len(sampled)


def is_seen(text: str, known: Hashes) -> bool:
    """Return whether a text stands, at least in good part, in what `known` is a sample of."""
    found, sampled = seen_windows(text, known)
    return found > 0 and found >= SEEN_SHARE * sampled


def unread(texts: Sequence[str], known: Hashes, whose: str) -> NDArray[np.bool_]:
    """Return which texts of a test split have not been seen before, shape (texts,).

    Args:
        texts: The documents.
        known: Sample of the text that has been seen; see `sample`.
        whose: Who has seen it, in a few words.

    Raises:
        EmptySplitError: All have been seen.
    """
    kept = np.array([not is_seen(text, known) for text in texts], dtype=np.bool_)
    if len(kept) and not kept.any():
        raise EmptySplitError(
            f"all {len(kept):,} test documents stand in what {whose} has read, so that a score "
            "would say nothing; set training.base = 'none', or hold out other text"
        )
    return kept


@lru_cache(maxsize=1 << 20)
def _word_hash(word: str) -> int:
    digest = blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mixed(values: Hashes) -> Hashes:
    """Spread the bits, so that each is as good as any other (splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
