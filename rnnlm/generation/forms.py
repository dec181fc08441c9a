"""What a document is to a person: free text, a colour `name R G B`, or a MealMaster recipe."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from rnnlm.corpora import recipes

_COLOR = re.compile(r"(\S(?:.*\S)?) (\d{1,3}) (\d{1,3}) (\d{1,3})")


class Color(NamedTuple):
    """A named colour; each channel from 0 to 255."""

    name: str
    red: int
    green: int
    blue: int


def parse_color(text: str) -> Color | None:
    """Read `name R G B`; return None where the text is no such line."""
    match = _COLOR.fullmatch(text)
    if not match:
        return None
    channels = [int(digits) for digits in match.groups()[1:]]
    return Color(match[1], *channels) if max(channels) <= 255 else None


def is_valid(form: str, text: str) -> bool:
    """Return whether a text is what its form says; free text need only hold something.

    A recipe must be one that `rnnlm.corpora.recipes.parse` reads, with ingredients.
    """
    if form == "recipe":
        try:
            recipe = recipes.parse(text)
        except recipes.BrokenRecipeError:
            return False
        return bool(recipe.sections)
    return parse_color(text) is not None if form == "color" else bool(text.strip())


def essence(form: str, text: str) -> str:
    """Return the part that must not be a copy: a colour's name, else the whole text.

    Case and spacing do not make a copy original.
    """
    color = parse_color(text) if form == "color" else None
    return " ".join((color.name if color else text).lower().split())


def essences(form: str, texts: Iterable[str]) -> frozenset[str]:
    """Return the essence of every text, to look copies up in."""
    return frozenset(essence(form, text) for text in texts)
