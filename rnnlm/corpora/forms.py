"""Forms of documents (free text, prose, a colour, a MealMaster recipe) and their validation."""

from collections.abc import Iterable
from typing import NamedTuple

from rnnlm import colors
from rnnlm.corpora import recipes

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSING = "\"'”’»›)]}」』）*_"
"""What may follow the end of a sentence: quotes, brackets, and emphasis in plain text."""


class Reading(NamedTuple):
    """A text read according to its form.

    Attributes:
        is_valid: Whether the text is valid for its form.
        subject: The invented part: a colour's name, else the whole text.
        color: The colour, if the form is `color` and the text is one.
    """

    is_valid: bool
    subject: str
    color: colors.Color | None


def read(form: str, text: str) -> Reading:
    """Return the validity, subject and colour of a text, which is parsed only once."""
    if form == "color":
        color = colors.parse(text)
        return Reading(color is not None, color.name if color else text, color)
    return Reading(is_valid(form, text), text, None)


def is_valid(form: str, text: str) -> bool:
    """Return whether a text is valid for its form; free text only must not be blank.

    A recipe must be one that `rnnlm.corpora.recipes.parse` reads, with ingredients. Prose must end
    with a complete sentence: with `.`, `!`, `?` or the like, and optional closing quotes and
    brackets.
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
    """Return what a text is compared by to find copies: a colour's name, else the whole text.

    It is normalized, so a text that differs only in case and spacing is still a copy.
    """
    return normalized(read_subject(form, text))


def essences(form: str, texts: Iterable[str]) -> frozenset[str]:
    """Return the set of the texts' comparison keys, for looking up copies."""
    return frozenset(comparison_key(form, text) for text in texts)


def read_subject(form: str, text: str) -> str:
    """Return the subject of a text; see `Reading.subject`."""
    color = colors.parse(text) if form == "color" else None
    return color.name if color else text


def normalized(subject: str) -> str:
    """Return a text in lower case, with single spaces between its words."""
    return " ".join(subject.lower().split())
