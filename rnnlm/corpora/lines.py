"""Observe each line of a text, and join lines.

An observation is a fact such as the length of a line or whether it ends with a full stop;
`unwrapping` decides from them which lines to join. Both functions are implemented in C (`text.c`,
which setuptools builds) and in Python, which is used if the C code was not built.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.compiled import text as _native

_RECORD = np.dtype(
    [
        ("start", "i8"), ("body", "i8"), ("end", "i8"), ("first_word", "i4"),
        ("is_small", "?"), ("is_large", "?"), ("is_item", "?"),
        ("is_stopped", "?"), ("has_inner", "?"), ("has_columns", "?"), ("unused", "V6"),
    ]
)  # fmt: skip
"""NumPy type of the struct `Line` of `text.c`, which holds the observations about a line."""
_COPIED = (
    "first_word", "is_small", "is_large", "is_item", "is_stopped", "has_inner", "has_columns",
)  # fmt: skip

_ITEM = re.compile(r"(?:[-*+•–—>|#=~]|\d{1,3}[.)]|[A-Za-z][.)])(?:\s|$)|[|>]|-{3}")
"""Matches the beginning of a list item, a heading, a quotation or a table row. A line that begins
like this is not the continuation of a paragraph."""
_STOPS = frozenset(",.;:!?。")
_INNER_STOP = re.compile(r"[,.;:!?][\"'”’)]? ")


class Lines(NamedTuple):
    """Observations about each line of a text.

    All arrays have the shape (lines,). Lengths are in characters.

    Attributes:
        length: Length without white space at the end; 0 for a blank line.
        indent: Length of the white space before the first word.
        first_word: Length of the first word.
        is_small: Whether the first word begins with a small letter.
        is_large: Whether the first word begins with a capital letter.
        is_item: Whether the line begins like a list item, a heading, a quotation or a table row.
        is_stopped: Whether the line ends with a punctuation mark.
        has_inner: Whether the line has a punctuation mark within it, followed by a space.
        has_columns: Whether the line has three consecutive spaces after its first word.
        record: The same observations as the bytes of an array of `_RECORD`, for `join`.
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

    Within joined lines, each run of white space becomes one space. Consecutive blank lines become
    one. In all other lines, only white space at the end is removed.

    Args:
        text: The text that was given to `observe`.
        lines: Observations about the lines of the text, as `observe` returned them.
        joins: Whether each line is joined to the line above, shape (lines,).
    """
    if _native:
        joined: str = _native.join(text, lines.record, joins.tobytes())
        return joined
    return _join(text, joins)


def _observe(text: str) -> bytes:
    """Return what `observe` of `text.c` returns: the bytes of an array of `_RECORD`."""
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
    """Return what `join` of `text.c` returns: the text with the lines joined."""
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
    """Return whether a line break splits a compound such as `to-morrow`, where no space belongs.

    Args:
        above: End of the text above the line break, such as `to-`.
        below: The line below it, such as `morrow the`.
    """
    return above[-1:] == "-" and above[-2:-1].isalpha() and below[:1].islower()
