"""Word lists that come with the package, and patterns that find their words in texts."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

SHIPPED = ("slurs",)
"""Names of the lists."""


@cache
def shipped(name: str) -> tuple[str, ...]:
    """Return the words of one of the package's lists."""
    lines = resources.files("rnnlm").joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def spelled_out(words: Iterable[str]) -> Iterator[str]:
    """Yield words, replacing the name of a list by the words in it."""
    for word in words:
        yield from shipped(word) if word in SHIPPED else (word,)


@cache
def pattern_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that finds any of some whole words, in any case.

    The name of a list stands for all words in the list.
    """
    either = "|".join(map(re.escape, spelled_out(words)))
    return re.compile(rf"\b(?:{either})\b", re.IGNORECASE)
