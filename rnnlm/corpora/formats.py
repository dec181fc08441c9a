"""File formats: how a file may be cut into pieces, and how a piece becomes records.

A record is a mapping of named fields; plain text has the one field `text`. A record that cannot be
read is yielded as a `Fault`, so that the caller may end the run or count it and go on.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.corpora import recipes

if TYPE_CHECKING:
    from markdown_it.token import Token

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read.

    Attributes:
        reason: In a few words, the same for the same kind of fault; dropped records are counted
            under it.
        detail: What exactly was found.
        line: Line of the piece, from 1; 0 where unknown.
    """

    reason: str
    detail: str
    line: int = 0


Parse = Callable[[str], Iterator[Fields | Fault]]


@dataclass(frozen=True)
class Format:
    """A text format.

    Attributes:
        parse: Yields the records of a piece.
        cut: Where a file may be cut: before each match's end; None: it is read as a whole.
    """

    parse: Parse
    cut: re.Pattern[bytes] | None = None


LINE_END = re.compile(rb"\r?\n|\r")
PARAGRAPH_END = re.compile(rb"\r?\n[ \t]*\r?\n")
BEFORE_RECIPE = re.compile(rb"\n(?=(?:MMMMM|-----)[^\n]*Meal-?Master)", re.IGNORECASE)


def text(content: str) -> Iterator[Fields | Fault]:
    """Yield the content as one record."""
    yield {"text": content}


def json_lines(content: str) -> Iterator[Fields | Fault]:
    """Yield the JSON object on each line; blank lines are nothing."""
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Fault("no JSON", f"{error}"[:80], number)
            continue
        yield _as_record(value, number)


def json_values(content: str) -> Iterator[Fields | Fault]:
    """Yield the objects of an array, the values of an object of objects, or the one object."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        yield Fault("no JSON", error.msg, error.lineno)
        return
    except RecursionError:
        yield Fault("no JSON", "it is nested too deeply")
        return
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        value = [{"key": key, **inner} for key, inner in value.items()]
    for item in value if isinstance(value, list) else [value]:
        yield _as_record(item, 0)


def comma_separated(content: str) -> Iterator[Fields | Fault]:
    """Yield the rows of a CSV or TSV with a line of names."""
    header = content.partition("\n")[0]
    delimiter = max(",;\t|", key=header.count)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(2**31 - 1)
    names: list[str] = []
    try:
        for row in rows:
            if not names:
                names = row
            elif row and len(row) != len(names):
                yield Fault(
                    "row of another length",
                    f"{len(row)} fields, expected {len(names)}",
                    rows.line_num,
                )
            elif row:
                yield dict(zip(names, row, strict=True))
    except csv.Error as error:
        yield Fault("no CSV", str(error), rows.line_num)


def meal_master(content: str) -> Iterator[Fields | Fault]:
    """Yield the recipes of a MealMaster export as the field `recipe`."""
    exports = [*recipes.split_export(content)]
    if not exports and content.strip():
        yield Fault("no recipe", "no line `Recipe via Meal-Master` (of version 7 or 8)", 1)
    place = 0
    for export in exports:
        place = content.index(export, place)
        try:
            yield {"recipe": recipes.parse(export)}
        except recipes.BrokenRecipeError as error:
            yield Fault("broken recipe", str(error), content.count("\n", 0, place) + 1)
        place += len(export)


def markdown_recipe(content: str) -> Iterator[Fields | Fault]:
    """Yield a Markdown recipe's title, categories, servings, ingredients and directions.

    Front matter gives title and tags; list items under headings that say ingredients or directions
    (or something below these) are what their heading says. A missing yield stays missing.
    """
    from markdown_it import MarkdownIt

    front, body = _front_matter(content)
    if front is None:
        yield Fault("no front matter", "the lines between `---` are no YAML", 1)
        return
    record: dict[str, Any] = {
        "title": front.get("title", ""),
        "categories": [str(tag) for tag in front.get("tags") or []],
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
    "markdown": Format(markdown_recipe),
    "mealmaster": Format(meal_master, BEFORE_RECIPE),
}
"""Text formats by name. Parquet is no text and is read by its row groups; see `pieces`."""


def _as_record(value: Any, line: int) -> Fields | Fault:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return value
    return Fault("no object", f"{type(value).__name__} (expected an object or a string)", line)


def _front_matter(content: str) -> tuple[dict[str, Any] | None, str]:
    import yaml

    match = re.match(r"---\n(.*?)\n---\n(.*)", content, re.DOTALL)
    if not match:
        return {}, content
    try:
        values = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return None, content
    return values if isinstance(values, dict) else None, match[2]


def _blocks(tokens: list[Token]) -> Iterator[tuple[str, int, str]]:
    """Yield (kind, heading level, line) of headings, list items and paragraphs."""
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
