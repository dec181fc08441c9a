"""Tables of separated values: detect the delimiter and the header, and read the rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from rnnlm.corpora.records import Fault, Fields, Record

DELIMITERS = ",;\t|"
NO_DELIMITER = "\x1f"
"""Delimiter of a table with a single column. No text contains it, so each line is one cell."""
SAME_WIDTH = 0.95
"""Least share of the rows that must have equally many cells for a delimiter to be accepted."""
SAME_WIDTH_NAMED = 0.5
"""Value used instead of `SAME_WIDTH` if the first row looks like column names."""
MOST_ROWS = 500
"""Number of rows that are examined to recognise how a table is written."""

_NAME = re.compile(r"[^\W\d][\w .:/()#-]{0,39}")
"""Matches a string that looks like a column name."""
_NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d%?\s*")


class Table(NamedTuple):
    """How a table is written.

    Attributes:
        delimiter: Character between the cells of a row; `NO_DELIMITER` for a single column.
        has_header: Whether the first row names the columns.
    """

    delimiter: str
    has_header: bool


def recognize_table(sample: str, delimiter: str = "", header: str = "auto") -> Table:
    """Return how a table is written, judged by its beginning.

    Args:
        sample: Beginning of the table, in whole lines.
        delimiter: Character between the cells of a row; if empty, it is detected.
        header: Whether the first row names the columns: `yes`, `no`, or `auto` to detect it.
    """
    candidates = [delimiter] if delimiter else [*DELIMITERS, NO_DELIMITER]
    found = max(candidates, key=lambda candidate: _consistency(sample, candidate))
    rows = _sample_rows(sample, found)
    has_header = _has_header(rows) if header == "auto" else header == "yes"
    return Table(found, has_header)


def rows_of(content: str, table: Table) -> Iterator[Fields | Fault]:
    """Yield the rows of a table as records, whose fields are named after its columns.

    Without a header, a single column is named `text`; several are `column1`, `column2` and so on.

    Args:
        content: The table, with its header if it has one.
        table: How the table is written.
    """
    csv.field_size_limit(2**31 - 1)
    rows = _reader(content, table.delimiter)
    names: list[str] = []
    try:
        for row in rows:
            if not names and table.has_header:
                names = row
                continue
            if not names:
                names = _column_names(len(row))
            if row and len(row) != len(names):
                detail = f"{len(row)} fields, expected {len(names)}"
                yield Fault("row of another length", detail, rows.line_num)
            elif row:
                yield Record(dict(zip(names, row, strict=True)), rows.line_num)
    except csv.Error as error:
        yield Fault("no CSV", str(error), rows.line_num)


def _column_names(count: int) -> list[str]:
    """Return the column names of a table without a header."""
    return ["text"] if count == 1 else [f"column{number}" for number in range(1, count + 1)]


def _reader(content: str, delimiter: str) -> Any:
    """Return a reader of the rows of a table.

    If there is a single column whose values are not quoted, quotation marks are read as text.
    Otherwise, a misplaced quotation mark is an error.
    """
    lines = io.StringIO(content, newline="")
    if delimiter == NO_DELIMITER and not _is_quoted(content):
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _is_quoted(content: str) -> bool:
    """Return whether the cells of a table with a single column are quoted.

    They are if more than 30 % of the first lines, without the header, begin with a quotation mark.
    """
    lines = [line for line in content[:20_000].split("\n")[1:200] if line.strip()]
    return sum(line.lstrip().startswith('"') for line in lines) > 0.3 * len(lines)


def _sample_rows(sample: str, delimiter: str) -> list[list[str]]:
    rows = []
    try:
        for row in _reader(sample, delimiter):
            if row:
                rows.append(row)
            if len(rows) > MOST_ROWS:
                break
    except csv.Error:
        pass  # the end of the sample cuts off a quoted cell
    return rows


def _consistency(sample: str, delimiter: str) -> float:
    """Return a score of how well a delimiter separates a sample into columns; 0 if it does not."""
    rows = _sample_rows(sample, delimiter)
    if delimiter == NO_DELIMITER or len(rows) < 2:
        return 0.5  # better than a delimiter that gives rows of different lengths
    widths = Counter(map(len, rows))
    width, count = widths.most_common(1)[0]
    is_named = len(rows[0]) == width and all(_NAME.fullmatch(cell) for cell in rows[0])
    least = SAME_WIDTH_NAMED if is_named else SAME_WIDTH
    if width == 1 or count < least * len(rows) or len(rows[0]) != width:
        return 0.0
    parted = [cell for row in rows for cell in row[1:]]
    spaced = sum(cell.startswith(" ") for cell in parted) > 0.9 * len(parted)
    if spaced and delimiter != "|":
        return 0.0  # commas and semicolons in prose
    return width * count / len(rows)


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row of a table is a header.

    It must look like column names, and differ from the other rows: it has a usual name such as
    `title`, or a name above a column of numbers or of much longer texts.
    """
    if len(rows) < 2:
        return bool(rows) and len(rows[0]) > 1
    first, rest = rows[0], rows[1:]
    if not all(_NAME.fullmatch(cell.strip()) for cell in first):
        return False
    columns = [
        [row[place] for row in rest if len(row) == len(first)] for place in range(len(first))
    ]
    for name, cells in zip(first, columns, strict=True):
        if name in cells[:MOST_ROWS]:
            return False
        if cells and sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) > 0.8 * len(cells):
            return True
    if {name.strip().lower() for name in first} & _USUAL_NAMES:
        return True
    sizes = [median(map(len, cells)) for cells in columns if cells]
    longest = max(range(len(sizes)), key=sizes.__getitem__, default=0)
    return bool(sizes) and sizes[longest] > 20 and len(first[longest]) < 0.5 * sizes[longest]


_USUAL_NAMES = frozenset(
    (
        "text", "body", "content", "title", "name", "names", "tweet", "tweets", "joke", "quote",
        "message", "description", "review", "comment", "sentence", "lyrics", "word", "words",
        "poem", "story", "headline", "id", "date", "author", "url", "label", "category",
    )
)  # fmt: skip
