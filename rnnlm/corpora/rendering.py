"""Render a record's fields as text: by a template, as a colour, or as a recipe.

Rendering is a pure function of the record. A missing field raises an error, which the caller can
count; no default value replaces it.
"""

import html
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from rnnlm import colors
from rnnlm.corpora import recipes
from rnnlm.corpora.fields import value_at
from rnnlm.corpora.recipes import Ingredient, Recipe, Section
from rnnlm.corpora.records import Fields

COLORS = {"color": "rgb", "color-hsv": "hsv", "color-lab": "lab", "color-both": "rgb"}
"""Values of the setting `render` that write a record as a colour, and for each the colour space of
the numbers that it writes."""
LONGEST_MARKUP = 4000
"""Most characters of a recipe's line from which markup is removed; that takes quadratic time."""


class UnusableRecordError(ValueError):
    """A record that cannot be rendered as text; the message says why, in a few words."""


def render(form: str, record: Fields, names: Mapping[str, str]) -> str:
    """Return the text of a record.

    Args:
        form: `recipe`, a key of `COLORS`, or a template such as `{title}: {body}`.
        record: Fields of the record.
        names: Mapping from the name of a field in `form` to its name in the record, for fields
            whose names differ.

    Raises:
        UnusableRecordError: A field is missing, or its value cannot be written in this form.
    """
    if form == "recipe":
        return recipes.render(_recipe(record, names))
    if form in COLORS:
        name = " ".join(str(_field(record, "name", names)).split())
        if not name:
            raise UnusableRecordError("a colour without a name")
        red, green, blue = rgb(_text(_field(record, "hex", names)))
        line = colors.write(colors.Color(name, red, green, blue), COLORS[form])
        if form != "color-both":
            return line
        if name.startswith("#"):
            raise UnusableRecordError("a colour's name that begins with #, as codes do")
        return f"{line}\n#{red:02x}{green:02x}{blue:02x} {name}"
    return "".join(
        literal + ("" if name is None else _text(_field(record, name, names)))
        for literal, name, _, _ in string.Formatter().parse(form)
    )


def attribute(form: str, record: Fields, name: str, names: Mapping[str, str]) -> str:
    """Return a record's value of an attribute as text; an empty string if it has no such value.

    The attribute `category` of a recipe is the first of its categories.
    """
    if form == "recipe" and name == "category":
        recipe = record.get("recipe")
        categories = recipe.categories if isinstance(recipe, Recipe) else _categories(record, names)
        if categories:
            return categories[0]
    value = record.get(names.get(name, name))
    return "" if value is None else str(value)


def field_names(form: str) -> tuple[str, ...]:
    """Return the names of the fields that are needed to render records.

    Args:
        form: `recipe`, a key of `COLORS`, or a template.
    """
    known: dict[str, tuple[str, ...]] = {
        **dict.fromkeys(COLORS, ("name", "hex")),
        "recipe": ("title", "ingredients", "directions"),
    }
    return known.get(form) or tuple(n for _, n, _, _ in string.Formatter().parse(form) if n)


def rgb(text: str) -> tuple[int, int, int]:
    """Parse a colour: `#f1f2ee`, `F1F2EE`, `#fff`, `rgb(241, 157, 183)` or `241 157 183`.

    Raises:
        UnusableRecordError: The text has none of these forms, or a channel exceeds 255.
    """
    digits = re.fullmatch(r"#?([0-9a-f]{3}|[0-9a-f]{6})", text.strip(), re.IGNORECASE)
    if digits:
        code = digits[1] if len(digits[1]) == 6 else "".join(2 * digit for digit in digits[1])
        return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)
    numbers = re.fullmatch(
        r"(?:rgb\()?\s*(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})\s*\)?", text.strip()
    )
    if not numbers or max(map(int, numbers.groups())) > 255:
        raise UnusableRecordError("a colour that is neither #rrggbb nor rgb(r, g, b)")
    return int(numbers[1]), int(numbers[2]), int(numbers[3])


def plain(text: str) -> str:
    """Return a line without wiki markup, Markdown links, HTML, emoji or empty parentheses.

    A line of more than `LONGEST_MARKUP` characters keeps them.
    """
    text = html.unescape(text).replace("\xa0", " ")
    if len(text) > LONGEST_MARKUP:
        return " ".join(text.split())
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


_MARKUP = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"<ref[^>]*/>|<ref[^>]*>.*?(?:</ref>|$)|</?[a-zA-Z][^>]*>", ""),
        (r"\{\{.*?(?:\}\}|$)", ""),
        (r"\[\[(?:[^\]|]*\|)?([^\]]*)\]\]", r"\1"),
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),
        (r"\[(?:https?:\S+)\s?([^\]]*)\]", r"\1"),
        (r"\[edit[^\]]*\]|\[\d+\]", ""),
        (r"'{2,}|\*{2,}|(?<![\w*])[*_](?=\w)|(?<=\w)[*_](?![\w*])", ""),
        (r"^[*#:;]+\s*", ""),
        (r"\(\s*(?:,\s*|or\s*)?\)", ""),
        (r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d\u2b50]", ""),
        (r"\s+([,.;:!?)])", r"\1"),
        (r"\(\s+", "("),
    )
)
"""Patterns that `plain` replaces, in this order, and their replacements."""

_UNITS = {
    "c": ("cup", "cups", "c"),
    "tb": ("tablespoon", "tablespoons", "tbsp", "tbsps", "tbs", "tb"),
    "ts": ("teaspoon", "teaspoons", "tsp", "tsps", "ts"),
    "lb": ("pound", "pounds", "lb", "lbs"),
    "oz": ("ounce", "ounces", "oz"),
    "g": ("gram", "grams", "g", "gr", "gm"),
    "kg": ("kilogram", "kilograms", "kilo", "kilos", "kg"),
    "ml": ("millilitre", "millilitres", "milliliter", "milliliters", "ml"),
    "dl": ("decilitre", "decilitres", "deciliter", "deciliters", "dl"),
    "l": ("litre", "litres", "liter", "liters", "l"),
    "pt": ("pint", "pints", "pt"),
    "qt": ("quart", "quarts", "qt"),
    "ga": ("gallon", "gallons", "gal"),
    "cn": ("can", "cans", "tin", "tins"),
    "pk": ("package", "packages", "pkg", "packet", "packets"),
    "pn": ("pinch", "pinches"),
    "ds": ("dash", "dashes"),
    "sl": ("slice", "slices"),
    "bn": ("bunch", "bunches"),
    "sm": ("small",),
    "md": ("medium",),
    "lg": ("large",),
}
_ABBREVIATIONS = {word: unit for unit, words in _UNITS.items() for word in words}
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_FRACTION = re.compile(rf"((?<=\d)\s*)?([{''.join(_FRACTIONS)}])")
_QUANTITY = re.compile(
    r"(\d+(?: \d+/\d+|/\d+|[.,]\d+)?(?:\s?-\s?\d+(?: \d+/\d+|/\d+|[.,]\d+)?)?)\s*(?![\d/%°])(.*)"
)
_WORD = re.compile(r"([A-Za-z]+)\.?(?=[\s(]|$)\s*(.*)")


def ingredient(line: str) -> Ingredient:
    """Parse an ingredient: `1 ½ cups flour` has quantity `1 1/2`, unit `c` and name `flour`.

    If the quantity is longer than 7 characters, MealMaster's limit, it is left in the name.
    """
    text = plain(line)
    text = _FRACTION.sub(lambda m: ("" if m[1] is None else " ") + _FRACTIONS[m[2]], text)
    text = text.replace("–", "-").replace("⁄", "/").lstrip("-•◦ ")
    amount = _QUANTITY.fullmatch(text)
    quantity = re.sub(r"\s?-\s?", "-", amount[1]) if amount else ""
    if not amount or len(quantity) > 7 or not amount[2]:
        return Ingredient("", "", text)
    word = _WORD.match(amount[2])
    unit = _ABBREVIATIONS.get(word[1].lower(), "") if word else ""
    name = (word[2] if word and unit else amount[2]).removeprefix("of ").lstrip("-").strip()
    if not name:
        return Ingredient(quantity, "", amount[2])
    return Ingredient(quantity, unit, name)


def _recipe(record: Fields, names: Mapping[str, str]) -> Recipe:
    if isinstance(record.get("recipe"), Recipe):
        recipe: Recipe = record["recipe"]
        return recipe
    title = plain(_text(_field(record, "title", names)))
    sections = _sections(_lines(_field(record, "ingredients", names)))
    directions = tuple(filter(None, map(plain, _lines(_field(record, "directions", names)))))
    if not title or not sections or not directions:
        missing = [
            name
            for name, value in (
                ("title", title),
                ("ingredients", sections),
                ("directions", directions),
            )
            if not value
        ]
        raise UnusableRecordError(f"a recipe without {' and '.join(missing)}")
    servings = plain(_text(record.get(names.get("servings", "servings")) or ""))
    return Recipe(
        title=title,
        categories=_categories(record, names),
        servings=_servings(servings),
        sections=sections,
        directions=tuple(_shown(paragraph) for paragraph in directions),
    )


def _sections(lines: Sequence[str]) -> tuple[Section, ...]:
    """Parse lines of ingredients, grouped under the lines that begin with `# `, their headings."""
    found: list[tuple[str, list[Ingredient]]] = [("", [])]
    for line in lines:
        if line.startswith("# "):
            found.append((plain(line[2:]).strip(" -").replace("--", "-"), []))
        elif (item := ingredient(line)).name:
            found[-1][1].append(item)
    return tuple(Section(heading, tuple(items)) for heading, items in found if items)


def _categories(record: Fields, names: Mapping[str, str]) -> tuple[str, ...]:
    found = _lines(record.get(names.get("categories", "categories")) or ())
    return tuple(dict.fromkeys(filter(None, map(_category, found))))


def _category(text: str) -> str:
    name = plain(text).replace(",", " ").removeprefix("Recipes for ").removesuffix(" recipes")
    name = " ".join(name.replace("-", " ").split())
    return name[:1].upper() + name[1:]


def _servings(text: str) -> str:
    text = text.replace("–", "-")
    return f"{text} servings" if re.fullmatch(r"[\d-]+", text) else text


def _shown(paragraph: str) -> str:
    """Return a paragraph without leading dashes.

    The recipe parser would take a line with leading dashes as a part of the ingredients or the
    frame.
    """
    return paragraph.lstrip("-") or paragraph


def _field(record: Fields, name: str, names: Mapping[str, str]) -> Any:
    key = names.get(name, name)
    if "," in key and key not in record:
        return " ".join(str(_field(record, part, {})) for part in key.split(","))
    value = value_at(record, key)
    if value is None:
        if key in record:
            raise UnusableRecordError(f"field `{key}` is null (expected text)")
        have = ", ".join(sorted(map(str, record))[:8]) or "none"
        raise UnusableRecordError(f"no field `{key}` (the record has: {have})")
    return value


def _lines(value: Any) -> list[str]:
    if isinstance(value, str):
        return [line for line in value.splitlines() if line.strip()]
    return [str(item) for item in value if str(item).strip()]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value)
    return str(value)
