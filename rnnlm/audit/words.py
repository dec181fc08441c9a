"""Find which words of a text exist.

A word exists if it occurs in the training text or in a dictionary of the language of this text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit.copies import hashes
from rnnlm.audit.suffixes import write_array
from rnnlm.saved import MEND, read_array

WORDS_FILE = "words.npy"
MOST_CHARACTERS = 100_000_000
"""Most characters of the training text that words are taken from, from its beginning."""
TYPICAL_WORDS = 1000
"""Number of most frequent words of the training text that are used to recognise its language."""
KNOWN_SHARE, ENOUGH = 0.5, 0.7
"""A dictionary is used if it contains at least the share `KNOWN_SHARE` of the most frequent words.
If it contains the share `ENOUGH`, no other dictionary is tried."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


class ExistingWords:
    """The set of words that exist, stored as hashes."""

    def __init__(self, known: NDArray[np.uint64]) -> None:
        """Create the set from the hashes of its words, which must be sorted."""
        self._known = known

    def count(self, texts: Sequence[str]) -> tuple[int, int]:
        """Return how many words of some texts exist, and the number of all their words."""
        words = [word for text in texts for word in words_in(text)]
        return int(np.count_nonzero(self.exist(words))), len(words)

    def all_exist(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether every word of each text exists, shape (texts,)."""
        words = [words_in(text) for text in texts]
        ends = np.cumsum([0, *map(len, words)])
        unknown = np.cumsum([0, *(~self.exist([*chain.from_iterable(words)])).tolist()])
        found: NDArray[np.bool_] = unknown[ends[1:]] == unknown[ends[:-1]]
        return found

    def exist(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each word exists, shape (words,).

        A word with `'s` at its end also exists if the word without it does.

        Args:
            words: Words as `words_in` returns them.
        """
        if not words or not len(self._known):
            return np.zeros(len(words), dtype=np.bool_)
        found = self._has(words)
        owned = [n for n in np.flatnonzero(~found).tolist() if words[n].endswith("'s")]
        if owned:
            found[owned] = self._has([words[n][:-2] for n in owned])
        return found

    def _has(self, words: Sequence[str]) -> NDArray[np.bool_]:
        wanted = hashes(list(words))
        places = np.searchsorted(self._known, wanted).clip(max=len(self._known) - 1)
        found: NDArray[np.bool_] = self._known[places] == wanted
        return found


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters, with apostrophes between them."""
    return _WORD.findall(text.lower().replace("’", "'"))


class Vocabulary(NamedTuple):
    """The words of a training split.

    Attributes:
        counts: Number of occurrences of each word, in the first `MOST_CHARACTERS` characters.
        dictionary: The dictionary of their language; empty if there is none.
    """

    counts: Counter[str]
    dictionary: frozenset[str]

    def count(self, word: str) -> int:
        """Return how often a word occurs, with or without a possessive `'s`."""
        return self.counts[word] + self.counts[f"{word}'s"]


def write_words(folder: Path, texts: Iterable[str]) -> Vocabulary:
    """Write the set of existing words into `folder`; return the words it was made from.

    They are the words of a training split and of a dictionary of its language.

    Args:
        folder: Folder to write to.
        texts: The texts of the training split.

    Raises:
        StorageError: The file cannot be written.
    """
    counts: Counter[str] = Counter()
    for text in _first(texts):
        counts.update(words_in(text))
    listed = dictionary([word for word, _ in counts.most_common(TYPICAL_WORDS)])
    write_array(folder / WORDS_FILE, np.unique(hashes(sorted({*counts, *listed}))))
    return Vocabulary(counts, listed)


def open_words(folder: Path) -> ExistingWords:
    """Return the words in the file that `write_words` wrote, which is memory-mapped."""
    return ExistingWords(read_array(folder / WORDS_FILE, MEND, mapped=True))


def dictionary(typical: Sequence[str]) -> frozenset[str]:
    """Return the dictionary of the language that some words are from; empty if it is not found.

    Of the dictionaries of pyspellchecker, it is the one that contains the most of the words, if
    these are enough; see `KNOWN_SHARE` and `ENOUGH`.
    """
    from spellchecker import SpellChecker

    best: tuple[float, frozenset[str]] = (0.0, frozenset())
    for language in SpellChecker.languages() if typical else ():
        words = _words_of(language)
        share = sum(word in words for word in typical) / len(typical)
        best = max(best, (share, words), key=lambda pair: pair[0])
        if best[0] >= ENOUGH:
            break
    return best[1] if best[0] >= KNOWN_SHARE else frozenset()


def share_in(language: str, texts: Iterable[str]) -> float:
    """Return the share of the words of some texts that are in the dictionary of a language.

    The share is 0 if the texts have no words.

    Args:
        language: pyspellchecker's code of the language, such as `en`.
        texts: The texts.
    """
    words = [word for text in texts for word in words_in(text)]
    return sum(word in _words_of(language) for word in words) / max(1, len(words))


@cache
def _words_of(language: str) -> frozenset[str]:
    from spellchecker import SpellChecker

    return frozenset(SpellChecker(language=language).word_frequency.dictionary)


def _first(texts: Iterable[str]) -> Iterator[str]:
    left = MOST_CHARACTERS
    for text in texts:
        if left <= 0:
            return
        left -= len(text)
        yield text
