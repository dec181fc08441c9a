"""Forms of documents (free text, prose, a colour, a MealMaster recipe), and validation of texts."""

from collections.abc import Iterable
from typing import NamedTuple

from rnnlm import colors
from rnnlm.corpora import recipes

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSING = "\"'”’»›)]}」』）*_"
"""Characters that may follow the punctuation at the end of a sentence: closing quotes and brackets,
and the marks `*` and `_` that surround emphasised words in plain text."""


class Reading(NamedTuple):
    """The result of checking a text against its form.

    Attributes:
        is_valid: Whether the text is valid for its form.
        subject: The name of the colour if the text is a colour, else the whole text.
        color: The colour, if the form is `color` and the text is valid; otherwise None.
    """

    is_valid: bool
    subject: str
    color: colors.Color | None


def read(form: str, text: str) -> Reading:
    """Check a text against its form, and return its validity, subject and colour.

    If the form is `color`, the text is parsed only once.
    """
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
    """Return the string by which texts are compared: two texts are copies if theirs are equal.

    For colours it is the name, for other forms the whole text. It is normalized, so a text that
    differs only in case and spacing is still a copy.
    """
    return normalized(read_subject(form, text))


def essences(form: str, texts: Iterable[str]) -> frozenset[str]:
    """Return the set of the texts' comparison keys, in which to look for copies of other texts."""
    return frozenset(comparison_key(form, text) for text in texts)


def read_subject(form: str, text: str) -> str:
    """Return the subject of a text; see `Reading.subject`."""
    color = colors.parse(text) if form == "color" else None
    return color.name if color else text


def normalized(subject: str) -> str:
    """Return a text in lower case, with single spaces between its words."""
    return " ".join(subject.lower().split())
