"""Observe each line of a text, and join lines.

`text.c`, which setuptools builds, does both. Without a compiler, Python does the same.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.native import text as _native

_RECORD = np.dtype(
    [
        ("start", "i8"), ("body", "i8"), ("end", "i8"), ("first_word", "i4"),
        ("is_small", "?"), ("is_large", "?"), ("is_item", "?"),
        ("is_stopped", "?"), ("has_inner", "?"), ("has_columns", "?"), ("unused", "V6"),
    ]
)  # fmt: skip
"""The struct `Line` of `text.c`."""
_COPIED = (
    "first_word", "is_small", "is_large", "is_item", "is_stopped", "has_inner", "has_columns",
)  # fmt: skip

_ITEM = re.compile(r"(?:[-*+•–—>|#=~]|\d{1,3}[.)]|[A-Za-z][.)])(?:\s|$)|[|>]|-{3}")
"""How a list item, a heading, a quotation or a row begins: never the middle of a paragraph."""
_STOPS = frozenset(",.;:!?。")
_INNER_STOP = re.compile(r"[,.;:!?][\"'”’)]? ")


class Lines(NamedTuple):
    """Observations about each line of a text, each of shape (lines,); lengths in characters.

    Attributes:
        length: Length without white space at the end; 0 for a blank line.
        indent: Length of the white space before the first word.
        first_word: Length of the first word.
        is_small: Whether the first word begins with a small letter.
        is_large: Whether the first word begins with a capital.
        is_item: Whether the line begins as a list item, a heading, a quotation or a table row does.
        is_stopped: Whether the line ends with a punctuation mark.
        has_inner: Whether the line has a punctuation mark before a space.
        has_columns: Whether the line has three spaces in a row.
        record: The same observations as bytes, for `join`.
    """

    length: NDArray[np.int64]
    indent: NDArray[np.int64]
    first_word: NDArray[np.int32]
    is_small: NDArray[np.bool_]
    is_large: NDArray[np.bool_]
    is_item: NDArray[np.bool_]
    is_stopped: NDArray[np.bool_]
    has_inner: NDArray[np.bool_]
    has_columns: NDArray[np.bool_]
    record: bytes


def observe(text: str) -> Lines:
    """Return observations about each line of a text."""
    record = _native.observe(text) if _native else _observe(text)
    seen = np.frombuffer(record, _RECORD)
    fields: dict[str, Any] = {name: seen[name].copy() for name in _COPIED}
    start = seen["start"]
    return Lines(length=seen["end"] - start, indent=seen["body"] - start, record=record, **fields)


def join(text: str, lines: Lines, joins: NDArray[np.bool_]) -> str:
    """Return a text with some lines joined to the line above.

    White space within joined lines is squeezed, and consecutive blank lines become one. White space
    at the end of all other lines is removed; apart from that they are unchanged.

    Args:
        text: The text that was given to `observe`.
        lines: What `observe` returned.
        joins: Whether each line is joined to the line above, shape (lines,).
    """
    if _native:
        joined: str = _native.join(text, lines.record, joins.tobytes())
        return joined
    return _join(text, joins)


def _observe(text: str) -> bytes:
    """Do in Python what `text.c` does."""
    records = []
    start = 0
    for whole in text.split("\n"):
        line = whole.rstrip()
        body = line.lstrip()
        space, end = body.find(" "), start + len(line)
        first_word = len(body) if space < 0 else space
        records.append(
            (
                start, end - len(body), end, first_word,
                body[:1].islower(), body[:1].isupper(), _ITEM.match(body) is not None,
                body[-1:] in _STOPS, _INNER_STOP.search(body) is not None, "   " in body, b"",
            )
        )  # fmt: skip
        start += len(whole) + 1
    return np.array(records, _RECORD).tobytes()


def _join(text: str, joins: NDArray[np.bool_]) -> str:
    """Do in Python what `text.c` does."""
    parts: list[str] = []
    is_part = joins.copy()
    is_part[:-1] |= joins[1:]
    was_blank = True
    for whole, joined, inside in zip(
        text.split("\n"), joins.tolist(), is_part.tolist(), strict=True
    ):
        line = whole.rstrip()
        body = line.lstrip()
        if not line:
            if not was_blank:
                parts.append("\n\n")
            was_blank = True
            continue
        if joined:
            parts.append("" if _is_compound(parts[-1], body) else " ")
        elif not was_blank:
            parts.append("\n")
        parts.append((" ".join(body.split()) if "  " in body else body) if inside else line)
        was_blank = False
    if parts and parts[-1] == "\n\n":
        parts.pop()
    return "".join(parts)


def _is_compound(above: str, below: str) -> bool:
    """Return whether a line ends within a compound such as `to-morrow`."""
    return above[-1:] == "-" and above[-2:-1].isalpha() and below[:1].islower()
