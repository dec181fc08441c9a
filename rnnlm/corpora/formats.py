"""File formats: where a file may be cut into pieces (byte ranges), and how to parse a piece.

Parsing yields records. A record is a mapping of named fields; plain text has the one field `text`.
For a record that cannot be read, a `Fault` is yielded, so that the caller can end the run, or count
the fault and continue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.corpora import recipes
from rnnlm.corpora.front_matter import split_front_matter
from rnnlm.corpora.records import MOST_LEVELS, Fault, Fields, Record, is_deep
from rnnlm.corpora.tables import recognize_table, rows_of

if TYPE_CHECKING:
    from markdown_it.token import Token

Parse = Callable[[str], Iterator[Fields | Fault]]


@dataclass(frozen=True)
class Format:
    """A text format.

    Attributes:
        parse: Function that yields the records and faults of a piece, given as a string.
        cut: Pattern after whose matches a file may be cut; None if files are read as a whole.
    """

    parse: Parse
    cut: re.Pattern[bytes] | None = None


SAMPLE = 1 << 20
"""Number of characters at the beginning of a table from which the delimiter and the header are
detected."""
LINE_END = re.compile(rb"\r?\n|\r")
PARAGRAPH_END = re.compile(rb"\r?\n[ \t]*\r?\n")
BEFORE_RECIPE = re.compile(rb"\n(?=(?:MMMMM|-----)[^\n]*Meal-?Master)", re.IGNORECASE)


def text(content: str) -> Iterator[Fields | Fault]:
    """Yield the content as one record."""
    yield {"text": content}


def json_lines(content: str) -> Iterator[Fields | Fault]:
    """Yield a record for the JSON object or string on each line; blank lines are skipped."""
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Fault("no JSON", _reason(error), number)
            continue
        yield _as_record(value, number)


def json_values(content: str) -> Iterator[Fields | Fault]:
    """Yield the records of a JSON file.

    The records are the items of an array, the values of an object whose values are objects, or the
    file's only object. The array may be inside an object that has other values, or be assigned to a
    variable, as in `window.tweets = [...]`.
    """
    if match := ASSIGNMENT.match(content):
        content = content[match.end() :].rstrip().removesuffix(";")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        yield Fault("no JSON", _reason(error), getattr(error, "lineno", 0))
        return
    if isinstance(value, dict) and value:
        value = _unwrapped(value)
    for item in value if isinstance(value, list) else [value]:
        yield _as_record(item, 0)


def _reason(error: Exception) -> str:
    """Return in a few words why a text is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "it is nested too deeply, or a number has too many digits"


ASSIGNMENT = re.compile(
    r"\s*(?:(?:var|let|const|export)\s+)?[A-Za-z_$][\w.$\[\]\"']*\s*=\s*(?=[\[{])"
)
LONGEST_COLOR = 300
"""Most characters of a line with a colour."""
FEWEST_WRAPPED = 2
"""Least number of items for a list within an object to be taken as the records of the file."""


def _unwrapped(value: dict[str, Any]) -> Any:
    """Return the list of records that a JSON object contains; the object itself if it is a record.

    If the records, or the texts of records, are the object's values, the key of each value becomes
    the record's field `key`.
    """
    if all(isinstance(inner, dict) for inner in value.values()):
        return [{"key": key, **inner} for key, inner in value.items()]
    is_flat = len(value) >= 5 and all(isinstance(inner, str) for inner in value.values())
    if is_flat and not {"text", "name", "title", "id"} & {*value}:
        return [{"key": key, "text": inner} for key, inner in value.items()]
    lists = [
        inner
        for inner in value.values()
        if isinstance(inner, list)
        and len(inner) >= FEWEST_WRAPPED
        and all(isinstance(item, dict) for item in inner)
    ]
    if len(lists) == 1 and not isinstance(value.get("text"), str):
        return lists[0]
    return value


def comma_separated(content: str) -> Iterator[Fields | Fault]:
    """Yield the rows of a table of separated values, whose delimiter and header are detected."""
    yield from rows_of(content, recognize_table(content[:SAMPLE]))


def color_line(line: str) -> Fields | None:
    """Return the colour name and the colour code of a line, which may have them in either order.

    Returns None for lines without a name and a code, such as `#f1f2ee`.
    """
    for pattern in _COLORS if len(line) <= LONGEST_COLOR else ():
        if (match := pattern.fullmatch(line)) and re.search(r"[^\W\d]", match["name"]):
            return {"name": match["name"].strip("\"' "), "hex": match["hex"]}
    return None


def color_lines(content: str) -> Iterator[Fields | Fault]:
    """Yield a record with the name and the code of the colour on each line."""
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            fault = Fault("no colour", f"{line[:60]} (expected a name and #rrggbb)", number)
            yield color_line(line.strip()) or fault


_CODE = (
    r"(?P<hex>#[0-9a-fA-F]{6}|#[0-9a-fA-F]{3}|rgb\([\d\s,]+\)"
    r"|\d{1,3}[ ,\t;]+\d{1,3}[ ,\t;]+\d{1,3})"
)
_COLORS = (
    re.compile(rf"(?P<name>.*\S)\s*(?:[\t,;:=|]|\s)\s*{_CODE}[,;]?"),
    re.compile(rf"{_CODE}\s*(?:[\t,;:=|]|\s)\s*(?P<name>\S.*)"),
)


def meal_master(content: str) -> Iterator[Fields | Fault]:
    """Yield a record for each recipe of a MealMaster export; its field `recipe` is a `Recipe`."""
    exports = [*recipes.split_export(content)]
    if not exports and content.strip():
        yield Fault("no recipe", "no line `Recipe via Meal-Master` (version 7 or 8)", 1)
    place = 0
    for export in exports:
        place = content.index(export, place)
        try:
            yield {"recipe": recipes.parse(export)}
        except recipes.BrokenRecipeError as error:
            yield Fault("broken recipe", str(error), content.count("\n", 0, place) + 1)
        place += len(export)


def markdown_recipe(content: str) -> Iterator[Fields | Fault]:
    """Yield one record with a Markdown recipe's title, categories, ingredients and directions.

    The title and the tags of the YAML front matter become the title and the categories. If there is
    no title in the front matter, the first heading of level 1 is the title. The list items below a
    heading that mentions ingredients, or below its subheadings, are the ingredients. In the same
    way, the list items and paragraphs below a heading that mentions directions are the directions.
    The field `servings` is present only if the recipe states a yield.
    """
    from markdown_it import MarkdownIt

    front, body = split_front_matter(content)
    if front is None:
        detail = (
            "the lines between `---` are not a YAML mapping, are too long or too deeply nested, or "
            "use aliases"
        )
        yield Fault("no front matter", detail, 1)
        return
    record: dict[str, Any] = {
        "title": front.get("title") if isinstance(front.get("title"), str) else "",
        "categories": _listed(front.get("tags")),
        "ingredients": [],
        "directions": [],
    }
    part, level = "", 0
    for kind, depth, line in _blocks(MarkdownIt().parse(body)):
        if kind == "heading":
            name = line.lower()
            named = {"ingredients": "ingredients", "directions": "directions"}
            named |= {"instructions": "directions", "method": "directions", "steps": "directions"}
            found = next((part for word, part in named.items() if word in name), None)
            if depth == 1 and not record["title"]:
                record["title"] = line
            elif found and not (part and depth > level and found != part):
                part, level = found, depth
            elif depth <= level:
                part = ""
            elif part == "ingredients":
                record[part].append(f"# {line}")
        elif match := re.search(r"(?:servings|serves|yields?)\s*:?\s*(\S.*)", line, re.IGNORECASE):
            if not part and "servings" not in record and len(match[1]) < 40:
                record["servings"] = match[1]
            elif part:
                record[part].append(line)
        elif part and (kind == "item" or part == "directions"):
            record[part].append(line)
    yield record


FORMATS: dict[str, Format] = {
    "text": Format(text, LINE_END),
    "json": Format(json_values),
    "jsonl": Format(json_lines, LINE_END),
    "csv": Format(comma_separated),
    "colors": Format(color_lines, LINE_END),
    "markdown": Format(markdown_recipe),
    "mealmaster": Format(meal_master, BEFORE_RECIPE),
}
"""Text formats by name. Parquet is not text, and `byte_ranges` reads it by row groups instead."""


def _listed(tags: Any) -> list[str]:
    """Return the tags of a front matter, which may be a list or a single tag, as a list."""
    return [
        tag for tag in (tags if isinstance(tags, list) else [tags]) if tag and isinstance(tag, str)
    ]


def _as_record(value: Any, line: int) -> Fields | Fault:
    if isinstance(value, str):
        return Record({"text": value}, line)
    if isinstance(value, dict):
        if is_deep(value):
            return Fault("no record", f"nested more than {MOST_LEVELS} levels deep", line)
        return Record(value, line)
    return Fault("no object", f"{type(value).__name__} (expected an object or a string)", line)


def _blocks(tokens: list[Token]) -> Iterator[tuple[str, int, str]]:
    """Yield (kind, level, text) for each heading, list item and paragraph of a Markdown document.

    The kind is `heading`, `item` or `paragraph`, and the level is that of the last heading.
    """
    kind, depth = "paragraph", 0
    open_items = 0
    for token in tokens:
        match token.type:
            case "heading_open":
                kind, depth = "heading", int(token.tag[1])
            case "list_item_open":
                open_items += 1
            case "list_item_close":
                open_items -= 1
            case "inline":
                shown = "item" if kind == "paragraph" and open_items else kind
                yield shown, depth, _inline_text(token)
                kind = "paragraph"


def _inline_text(token: Token) -> str:
    parts = []
    for child in token.children or []:
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type in ("text", "code_inline"):
            parts.append(child.content)
    return "".join(parts).strip()
