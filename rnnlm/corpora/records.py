"""Records, and faults: records that cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]
"""Named values; plain text has the one field `text`."""


class Record(dict[str, Any]):
    """The fields of a record, with its line.

    Attributes:
        line: Line of the piece, from 1; 0 if unknown.
    """

    __slots__ = ("line",)

    def __init__(self, fields: Fields, line: int = 0) -> None:
        super().__init__(fields)
        self.line = line


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read.

    Attributes:
        reason: Kind of fault in a few words; dropped records are counted under it.
        detail: What exactly was found.
        line: Line of the piece, from 1; 0 if unknown.
    """

    reason: str
    detail: str
    line: int = 0
