"""Recipes: parse exports of the DOS program MealMaster, and write recipes as clean MealMaster text.

An ingredient line has three columns: quantity (7 characters, right-aligned), unit (2) and name
(28). A longer name continues on a separate line that begins with `-`. A line may hold two
ingredients side by side; the ingredients on the left then come before those on the right. In an
export, a recipe is framed by a first and a last line that begin with `MMMMM` in version 8 of the
program, and with `-----` in version 7.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rnnlm.corpora.unwrapping import join_wrapped

INGREDIENT_WIDTH = 28
TEXT_WIDTH = 75
NARROWEST_TEXT = 60
"""Least width, in characters, at which directions are assumed to be wrapped. A line that would have
had room for the first word of the next line ends a paragraph."""
COLUMN_WIDTH = 39
"""Characters of quantity, unit and name, with the spaces between them. A second ingredient on the
same line begins two characters further on."""

LONGEST_HEADING = 300
"""Most characters of a heading. Matching takes time quadratic in the length of the line."""

HEADER = re.compile(r"^(?:MMMMM|-----).*Meal-?Master.*$", re.IGNORECASE | re.MULTILINE)
"""The first line of a recipe in an export."""
_END = re.compile(r"^(?:MMMMM|-----)-*\s*$")
_FIELD = re.compile(r"^\s{0,12}(Title|Categories|Servings|Yield):[ \t]*(.*)$", re.IGNORECASE)
_HEADING = re.compile(r"^(?:MMMMM|-)-{4,}\s*([^-\s].*?)\s*-*$|^MMMMM\s*([^-\s].*?)\s*$")
_INGREDIENT = re.compile(r"^([ \d/.,~+x-]{7}) ([A-Za-z]{2}|[A-Za-z] |  ) (\S.*)$")
_LOOSE = re.compile(
    r"^\s{0,12}(\d[\d/.,-]{0,6}|\d{1,2} \d/\d) +"
    r"(x|sm|md|lg|cn|pk|pn|dr|ds|ct|bn|sl|ea|t|ts|T|tb|fl|c|pt|qt|ga|oz|lb|ml|cb|cl|dl|l|mg|cg|dg"
    r"|g|kg) +(\S.{0,60})$"
)
"""Matches an ingredient with one of MealMaster's units that is not aligned to its columns."""
_OPEN_END = re.compile(
    r"(?:,|\(|&|\b(?:or|and|of|with|in|into|to|for|cut|the|a|an|plus|about|your))$", re.IGNORECASE
)
_LEADING = frozenset(("or", "and", "into", "in", "to", "for", "with", "of", "cut", "per", "at"))
_LOWERCASE = frozenset("(abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Ingredient:
    """An ingredient; quantity and unit may be empty. No field begins or ends with a space."""

    quantity: str
    unit: str
    name: str


@dataclass(frozen=True)
class Section:
    """A group of ingredients with a heading, which may be empty in a recipe's first section."""

    heading: str
    ingredients: tuple[Ingredient, ...]


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        title: Title; never empty.
        categories: Categories; may be empty.
        servings: The yield as written in the source; empty if the source states none.
        sections: Ingredients by section.
        directions: Paragraphs of the directions.
    """

    title: str
    categories: tuple[str, ...]
    servings: str
    sections: tuple[Section, ...]
    directions: tuple[str, ...]


class BrokenRecipeError(ValueError):
    """A text that is not a recipe, or only part of one; the message says what is missing."""


def render(recipe: Recipe) -> str:
    """Return a recipe as clean MealMaster text without a frame.

    Parsing the text with `parse` gives the same recipe again.
    """
    lines = [f"      Title: {recipe.title}"]
    if recipe.categories:
        lines.append(f" Categories: {', '.join(recipe.categories)}")
    if recipe.servings:
        lines.append(f"      Yield: {recipe.servings}")
    for section in recipe.sections:
        lines.append("")
        if section.heading:
            lines += [f"-----{section.heading}-----"]
        for ingredient in section.ingredients:
            first, *rest = _wrap(ingredient.name, INGREDIENT_WIDTH)
            lines.append(f"{ingredient.quantity:>7} {ingredient.unit:<2} {first}")
            lines += [f"{'':11}-{line}" for line in rest]
    for paragraph in recipe.directions:
        lines += ["", *(f"  {line}" for line in _wrap(paragraph, TEXT_WIDTH))]
    return "\n".join(lines)


def parse(text: str) -> Recipe:
    """Parse the text of one recipe, with or without a frame, of MealMaster version 7 or 8.

    The ingredients may be in one column or two. If the text states no yield, `servings` is empty.
    Version 7 breaks long ingredients into two lines without marking the second. A line without a
    quantity is therefore taken as a continuation if the line above or the line itself suggests it,
    as in `Green bell pepper, cored,` followed by `Cut`.

    Raises:
        BrokenRecipeError: There is no title, no text after the fields such as `Title:` and
            `Yield:`, or no end of the frame.
    """
    lines = [line.expandtabs().rstrip() for line in text.split("\n")]
    is_framed = bool(lines) and HEADER.match(lines[0]) is not None
    body = iter(lines[1:] if is_framed else lines)
    fields: dict[str, str] = {}
    rest: list[str] = []
    for line in body:
        match = _FIELD.match(line)
        if match and match[1].lower() not in fields:
            fields[match[1].lower()] = match[2].strip()
        elif line:
            rest.append(line)
            break
    for line in body:
        if _END.match(line):
            break
        rest.append(line)
    else:
        if is_framed:
            raise BrokenRecipeError("the recipe breaks off before its last line of dashes")
    title = _squeeze(fields.get("title", ""))
    if not title:
        raise BrokenRecipeError("a recipe without `Title:`")
    marks = is_framed and not any(line[10:12] == " -" for line in rest)
    sections, directions = _ingredients_and_directions(rest, guess=marks)
    if not sections and not directions:
        raise BrokenRecipeError(f"the recipe {title!r} has neither ingredients nor directions")
    names = (_squeeze(name) for name in fields.get("categories", "").split(","))
    return Recipe(
        title=title,
        categories=tuple(name for name in names if name and name.lower() != "none"),
        servings=_servings(fields.get("yield", "") or fields.get("servings", "")),
        sections=sections,
        directions=directions,
    )


def split_export(text: str) -> Iterator[str]:
    """Yield the text of each recipe of an export, from its first line to the next recipe's."""
    starts = [match.start() for match in HEADER.finditer(text)]
    for start, end in pairwise([*starts, len(text)] if starts else []):
        yield text[start:end]


def _ingredients_and_directions(
    lines: Sequence[str], guess: bool
) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    headings: list[str] = []
    blocks: list[list[str]] = []
    notes: list[str] = []
    text: Sequence[str] = ()
    lines = [_in_columns(line) for line in lines]
    last = max((n for n, line in enumerate(lines) if _INGREDIENT.match(line)), default=-1)
    for place, line in enumerate(lines):
        heading = _match_heading(line)
        if heading and place < last:
            headings.append(_squeeze(heading[1] or heading[2]))
            blocks.append([])
        elif _is_ingredient(line):
            if not blocks:
                headings, blocks = [""], [[]]
            blocks[-1].append(line)
        elif line.strip() and not any(blocks) and place < last:
            notes.append(line)  # another field such as `Title:`, or text before the ingredients
        elif line.strip():
            text = [_as_paragraph(line) for line in lines[place:]]
            break
    text = [*notes, *[""] * bool(notes), *text]
    sections = tuple(
        Section(heading, ingredients)
        for heading, block in zip(headings, blocks, strict=True)
        if (ingredients := _ingredients(block, guess))
    )
    width = max(NARROWEST_TEXT, *(len(line) for line in text), 0)
    return sections, tuple(join_wrapped(text, width))


def _in_columns(line: str) -> str:
    """Return a line with its ingredient aligned to MealMaster's columns.

    Lines that are already aligned, or contain no ingredient, are returned unchanged.
    """
    match = None if _INGREDIENT.match(line) else _LOOSE.match(line)
    return f"{match[1]:>7} {match[2]:<2} {match[3]}" if match else line


def _as_paragraph(line: str) -> str:
    """Return a line of the directions; a heading such as `-----SAUCE-----` becomes `SAUCE:`."""
    heading = _match_heading(line)
    return f"{_squeeze(heading[1] or heading[2])}:" if heading else line


def _match_heading(line: str) -> re.Match[str] | None:
    return _HEADING.match(line) if len(line) <= LONGEST_HEADING else None


def _is_ingredient(line: str) -> bool:
    return _INGREDIENT.match(line) is not None or _is_right_column(line)


def _is_right_column(line: str) -> bool:
    """Return whether a line has text in the right column only."""
    return len(line) > COLUMN_WIDTH and not line[:COLUMN_WIDTH].strip() and " " in line


def _ingredients(block: Sequence[str], guess: bool) -> tuple[Ingredient, ...]:
    """Parse ingredient lines, in one column or two.

    Args:
        block: Lines of ingredients without headings.
        guess: Whether a line without a quantity can continue the ingredient above although it does
            not begin with `-`, as in version 7.

    Returns:
        The ingredients of the left column, then those of the right column.
    """
    left, right = [], []
    for line in block:
        second = line[COLUMN_WIDTH + 2 :]
        if line[COLUMN_WIDTH : COLUMN_WIDTH + 2].strip() == "" and _INGREDIENT.match(second):
            left.append(line[:COLUMN_WIDTH])
            right.append(second)
        else:
            left.append(line)
    found: list[Ingredient] = []
    above = ""
    for cell in left + right:
        match = _INGREDIENT.match(cell.rstrip())
        if not match:
            continue
        quantity, unit, name = (_squeeze(part) for part in match.groups())
        is_bare = bool(found) and not quantity and not unit
        if is_bare and (name.startswith("-") or (guess and _goes_on(above, name))):
            more = name[1:].strip() if name.startswith("-") else _uncapitalised(name)
            last = found[-1]
            found[-1] = Ingredient(last.quantity, last.unit, f"{last.name} {more}".strip())
        else:
            found.append(Ingredient(quantity, unit, name.lstrip("-").strip() or name))
        above = name
    return tuple(found)


def _goes_on(above: str, name: str) -> bool:
    """Return whether a line probably continues the ingredient on the line above.

    MealMaster version 7 does not mark such lines. There is evidence for a continuation if the first
    word would not have fitted on the line above, if the line above is incomplete, or if the line
    begins like the middle of a phrase.

    Args:
        above: Name column of the line above.
        name: Name column of the line.
    """
    first = name.split(maxsplit=1)[0]
    is_full = len(above) + 1 + len(first) > INGREDIENT_WIDTH
    is_open = above.count("(") > above.count(")") or _OPEN_END.search(above) is not None
    return is_full or is_open or name[0] in _LOWERCASE or first.lower() in _LEADING


def _uncapitalised(name: str) -> str:
    """Return the second line of a broken ingredient with a small first letter.

    MealMaster version 7 capitalised the first letter of each line. If the second character is not
    a small letter, the line is returned unchanged.
    """
    return name[0].lower() + name[1:] if name[1:2].islower() else name


def _servings(text: str) -> str:
    text = _squeeze(text)
    return f"{text} servings" if re.fullmatch(r"[\d–-]+", text) else text


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _squeeze(text: str) -> str:
    return " ".join(text.split())
