"""Records (mappings of named fields, read from a file), and faults (records that cannot be read).

Line numbers are relative to a piece, which is the byte range of a file that is read at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_LEVELS = 100
"""Most levels of lists and objects in a record; code that follows a path recurses at each level."""
Fields = Mapping[str, Any]
"""The fields of a record: values by name. A record of plain text has the one field `text`."""


class Record(dict[str, Any]):
    """The fields of a record, with its line number.

    Attributes:
        line: Line number in the piece, counted from 1; 0 if unknown.
    """

    __slots__ = ("line",)

    def __init__(self, fields: Fields, line: int = 0) -> None:
        super().__init__(fields)
        self.line = line


def is_deep(value: Any) -> bool:
    """Return whether lists and objects are nested in a value more than `MOST_LEVELS` deep."""
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read.

    Attributes:
        reason: Kind of fault in a few words; dropped records are counted under it.
        detail: What exactly was found.
        line: Line number in the piece, counted from 1; 0 if unknown.
    """

    reason: str
    detail: str
    line: int = 0


def checked(record: Fields) -> Fields | Fault:
    """Return a record, or a fault in its place if it is nested too deeply."""
    if is_deep(record):
        return Fault("no record", f"nested more than {MOST_LEVELS} levels deep")
    return record
