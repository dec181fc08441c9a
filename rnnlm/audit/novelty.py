"""Measure how much generated texts overlap with the training text.

A *run* is a sequence of characters that occurs verbatim in the training text. The measures are the
length of a text's longest run, the characters in long runs, and the n-grams of words or characters
that occur in the training text.
"""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit.suffixes import Matches

Unit = Literal["word", "character"]
RUN = 20
"""Least characters of a run that counts as taken from the training text."""
ORDERS: dict[Unit, tuple[int, ...]] = {"word": (2, 4, 8), "character": (4, 8, 16)}
"""For each unit, the lengths n of the n-grams that are looked up in the training text."""

WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits."""


def longest_around(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each character the length of the longest run that contains it.

    Args:
        lengths: Length of the longest run that begins at each character of one text, from
            `Matches.lengths`; shape (characters,).

    Returns:
        Shape (characters,).
    """
    around = np.zeros_like(lengths)
    # If a run is the rest of the run that begins one character earlier, it adds nothing.
    begins = np.flatnonzero(lengths >= np.append(1, lengths[:-1]))
    for start in begins[np.argsort(lengths[begins], kind="stable")]:
        around[start : start + lengths[start]] = lengths[start]
    return around


def taken_characters(matches: Matches) -> int:
    """Return how many characters of all texts are in runs of at least `RUN` characters."""
    starts = np.flatnonzero(matches.lengths >= RUN)
    change = np.zeros(len(matches.lengths) + 1, dtype=np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + matches.lengths[starts], -1)
    return int(np.count_nonzero(np.cumsum(change) > 0))


def known_ngrams(texts: Sequence[str], matches: Matches, unit: Unit) -> dict[int, tuple[int, int]]:
    """Return how many of the texts' n-grams occur in the training text, and how many there are.

    The result has a pair for each n: the number of n-grams that occur in the training text, and the
    number of all n-grams in the texts. An n-gram of words is the text from the first letter of a
    word to the last letter of the n-th word, including spaces and punctuation between them.

    Args:
        texts: The texts that `matches` was computed for.
        matches: The texts' runs.
        unit: What n counts: words or characters.
    """
    known: dict[int, tuple[int, int]] = dict.fromkeys(ORDERS[unit], (0, 0))
    for number, text in enumerate(texts):
        lengths = matches.of(number)
        starts, ends = _spans(text, unit)
        for n in known:
            count = max(0, len(starts) - n + 1)
            sizes = ends[n - 1 :] - starts[:count]
            found = int(np.count_nonzero(lengths[starts[:count]] >= sizes))
            known[n] = (known[n][0] + found, known[n][1] + count)
    return known


def _spans(text: str, unit: Unit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the start and end offsets of the units of a text, each of shape (units,).

    The units are its words or its characters.
    """
    if unit == "character":
        return np.arange(len(text)), np.arange(1, len(text) + 1)
    spans = [word.span() for word in WORD.finditer(text)]
    pairs = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
