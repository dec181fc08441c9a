"""Field paths: read a field of a record by its path, and find the field that contains the text.

A path is a key, or several keys joined by dots (`data.body`). In a list, `[]` selects every item
(`messages[].content`) and `[0]` a single one (`messages[0].content`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from rnnlm.corpora.records import Fields

MOST_DEPTH = 6
"""Number of levels of nested lists and objects that are searched for text."""
COVERAGE = 0.5
"""Least share of the records that must have a field for it to be proposed as the text."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")
_TEMPLATE_MARKS = frozenset("{}!:")
_NO_PROSE = re.compile(r"https?://\S+|[\d\s.,:/+TZ-]+|[0-9a-fA-F-]{16,}")
_USUAL_NAMES = (
    "text", "full_text", "body", "content", "message", "joke", "lyrics", "quote", "description",
    "tweet", "review", "comment", "sentence", "headline", "title", "name", "word",
)  # fmt: skip


def value_at(record: Fields, path: str) -> Any:
    """Return the value at a path of a record, or None if the record has no such path.

    If a key on the path selects from a list, the result is the list of the items' values. If the
    record has a key equal to the whole path, such as a key that contains dots, the value of that
    key is returned.
    """
    if path in record:
        return record[path]
    found: Any = record
    for key, index in _STEP.findall(path):
        found = _step(found, key, index)
    return found


def text_paths(records: Sequence[Fields]) -> dict[str, list[str]]:
    """Return the strings that some records contain, as a list for each path.

    The list has one string for each record with a string at the path. If a record has several
    strings there, because the path goes through a list, they are joined by newlines.
    """
    found: dict[str, list[str]] = {}
    for record in records:
        mine: dict[str, list[str]] = {}
        for path, value in _strings(record, "", MOST_DEPTH):
            mine.setdefault(path, []).append(value)
        for path, values in mine.items():
            found.setdefault(path, []).append("\n".join(values))
    return found


def propose_text(records: Sequence[Fields]) -> str | None:
    """Return the path of the field that is most likely the text, or None if no field is likely.

    Of the fields that contain prose, the longest on average is chosen, unless one with a usual
    name, such as `body`, is more than half as long. If no field contains prose, one with a usual
    name is chosen, or the only field.
    """
    found = {
        path: values
        for path, values in text_paths(records).items()
        if len(values) >= COVERAGE * len(records) and not _TEMPLATE_MARKS & {*path}
    }
    prose = {path: fmean(map(len, values)) for path, values in found.items() if _is_prose(values)}
    named = [path for name in _USUAL_NAMES for path in found if _last_key(path) == name]
    if prose:
        longest = max(prose, key=prose.__getitem__)
        usual = [path for path in named if prose.get(path, 0.0) > 0.5 * prose[longest]]
        return usual[0] if usual else longest
    return next(iter(named), next(iter(found)) if len(found) == 1 else None)


def _last_key(path: str) -> str:
    return path.rsplit(".", 1)[-1].removesuffix("[]").lower()


def _is_prose(values: Sequence[str]) -> bool:
    """Return whether the strings of a field are prose.

    Most of them must be long, have several words, or not be ASCII. Few may be repeated, or be URLs,
    numbers or identifiers.
    """
    is_several = sum(len(v) > 200 or " " in v.strip() or not v.isascii() for v in values)
    is_odd = sum(bool(_NO_PROSE.fullmatch(v.strip())) for v in values)
    different = len({*values}) >= 0.3 * len(values) or len(values) < 5
    return different and is_several > 0.5 * len(values) and is_odd < 0.3 * len(values)


def _strings(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if value.strip():
            yield path, value
    elif depth and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, f"{path}.{key}" if path else str(key), depth - 1)
    elif depth and isinstance(value, list):
        for inner in value[:50]:
            yield from _strings(inner, f"{path}[]", depth - 1)


def _step(value: Any, key: str, index: str) -> Any:
    if key:
        if isinstance(value, list):
            inner = [_step(item, key, index) for item in value]
            return [item for item in inner if item is not None] or None
        return value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, list):
        return None
    if not index:
        flat = [item for inner in value for item in (inner if isinstance(inner, list) else [inner])]
        return flat or None
    return value[int(index)] if int(index) < len(value) else None
