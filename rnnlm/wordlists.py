"""Lists of words that come with the package, and texts that contain a word of a list."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

SHIPPED = ("slurs",)
"""Names of the lists."""


@cache
def shipped(name: str) -> tuple[str, ...]:
    """Return the words of a list of the package."""
    lines = resources.files("rnnlm").joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def spelled_out(words: Iterable[str]) -> Iterator[str]:
    """Yield words, those of a list in place of its name."""
    for word in words:
        yield from shipped(word) if word in SHIPPED else (word,)


@cache
def pattern_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of some words, or of the lists that are named, as whole words."""
    either = "|".join(map(re.escape, spelled_out(words)))
    return re.compile(rf"\b(?:{either})\b", re.IGNORECASE)
