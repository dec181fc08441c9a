"""What a document is to a person: free text, prose, a colour `name R G B`, a MealMaster recipe."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from rnnlm.corpora import recipes

_COLOR = re.compile(r"(\S(?:.*\S)?) (\d{1,3}) (\d{1,3}) (\d{1,3})")
_NAMED_COLOR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2}) ([^#\s](?:.*\S)?)")
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSING = "\"'”’»›)]}」』）*_"
"""What may follow the end of a sentence: quotes, brackets, and emphasis in plain text."""


class Color(NamedTuple):
    """A named colour; each channel from 0 to 255."""

    name: str
    red: int
    green: int
    blue: int


class Reading(NamedTuple):
    """A text as a person reads it.

    Attributes:
        is_valid: Whether it is what its form says.
        subject: The part that is made up: a colour's name, else the whole text.
        color: What was read as a colour, if anything.
    """

    is_valid: bool
    subject: str
    color: Color | None


def read(form: str, text: str) -> Reading:
    """Read a text as its form says; once, where several things about it are wanted."""
    if form == "color":
        color = parse_color(text)
        return Reading(color is not None, color.name if color else text, color)
    return Reading(is_valid(form, text), text, None)


def parse_color(text: str) -> Color | None:
    """Read `name R G B`, or `#rrggbb name`; return None where the text is no such line."""
    if named := _NAMED_COLOR.fullmatch(text):
        return Color(named[4], *(int(digits, 16) for digits in named.groups()[:3]))
    match = _COLOR.fullmatch(text)
    if not match:
        return None
    name, *digits = match.groups()
    red, green, blue = map(int, digits)
    return Color(name, red, green, blue) if max(red, green, blue) <= 255 else None


def is_valid(form: str, text: str) -> bool:
    """Return whether a text is what its form says; free text need only hold something.

    A recipe must be one that `rnnlm.corpora.recipes.parse` reads, with ingredients. Prose must end
    a sentence: by `.`, `!`, `?` or the like, after which quotes and brackets may close.
    """
    if form == "color":
        return parse_color(text) is not None
    if form == "recipe":
        try:
            recipe = recipes.parse(text)
        except recipes.BrokenRecipeError:
            return False
        return bool(recipe.sections)
    if form == "prose":
        return text.rstrip().rstrip(_CLOSING).endswith(_SENTENCE_ENDS)
    return bool(text.strip())


def essence(form: str, text: str) -> str:
    """Return the part that must not be a copy: a colour's name, else the whole text.

    Case and spacing do not make a copy original.
    """
    return normalized(read_subject(form, text))


def essences(form: str, texts: Iterable[str]) -> frozenset[str]:
    """Return the essence of every text, to look copies up in."""
    return frozenset(essence(form, text) for text in texts)


def read_subject(form: str, text: str) -> str:
    """Return the part that is made up; see `Reading.subject`."""
    color = parse_color(text) if form == "color" else None
    return color.name if color else text


def normalized(subject: str) -> str:
    """Return a text in lower case, its spacing squeezed."""
    return " ".join(subject.lower().split())
