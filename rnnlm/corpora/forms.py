"""What a document is to a person: free text, prose, a colour, a MealMaster recipe."""

from collections.abc import Iterable
from typing import NamedTuple

from rnnlm import colors
from rnnlm.corpora import recipes

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSING = "\"'”’»›)]}」』）*_"
"""What may follow the end of a sentence: quotes, brackets, and emphasis in plain text."""


class Reading(NamedTuple):
    """A text as a person reads it.

    Attributes:
        is_valid: Whether it is what its form says.
        subject: The part that is made up: a colour's name, else the whole text.
        color: What was read as a colour, if anything.
    """

    is_valid: bool
    subject: str
    color: colors.Color | None


def read(form: str, text: str) -> Reading:
    """Read a text as its form says; once, where several things about it are wanted."""
    if form == "color":
        color = colors.parse(text)
        return Reading(color is not None, color.name if color else text, color)
    return Reading(is_valid(form, text), text, None)


def is_valid(form: str, text: str) -> bool:
    """Return whether a text is what its form says; free text need only hold something.

    A recipe must be one that `rnnlm.corpora.recipes.parse` reads, with ingredients. Prose must end
    a sentence: by `.`, `!`, `?` or the like, after which quotes and brackets may close.
    """
    if form == "color":
        return colors.parse(text) is not None
    if form == "recipe":
        try:
            recipe = recipes.parse(text)
        except recipes.BrokenRecipeError:
            return False
        return bool(recipe.sections)
    if form == "prose":
        return text.rstrip().rstrip(_CLOSING).endswith(_SENTENCE_ENDS)
    return bool(text.strip())


def comparison_key(form: str, text: str) -> str:
    """Return the part that must not be a copy: a colour's name, else the whole text.

    Case and spacing do not make a copy original.
    """
    return normalized(read_subject(form, text))


def essences(form: str, texts: Iterable[str]) -> frozenset[str]:
    """Return what each text is compared by, to look copies up in."""
    return frozenset(comparison_key(form, text) for text in texts)


def read_subject(form: str, text: str) -> str:
    """Return the part that is made up; see `Reading.subject`."""
    color = colors.parse(text) if form == "color" else None
    return color.name if color else text


def normalized(subject: str) -> str:
    """Return a text in lower case, its spacing squeezed."""
    return " ".join(subject.lower().split())
