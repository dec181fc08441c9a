"""Print tables that fit the window: text is folded, names and numbers are never cut."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from flows.console.printing import facts, out, visible

GAP = 3
"""Number of spaces between two columns."""
NARROWEST_TEXT = 24
"""Fewest characters in a line of a folded column."""


def show(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Sequence[int] = (),
    optional: Sequence[int] = (),
) -> None:
    """Print a table with aligned columns and no frame on standard output.

    If the table is wider than the window, headings and long cells with spaces are folded; if that
    is not enough, optional columns are left out. If the table still does not fit, each row is
    printed as a block with one line per cell.

    Args:
        headings: Headings of the columns.
        rows: Cells of each row.
        right: Indices of the columns that are aligned to the right.
        optional: Indices of the columns that may be left out, the least important first.
    """
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    columns = [*zip(headings, *cells, strict=True)]
    shown, left_out = [*range(len(columns))], [*optional]
    while (widths := _fit([columns[number] for number in shown])) is None:
        if not left_out:
            _show_blocks(headings, cells)
            return
        shown.remove(left_out.pop(0))
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for number, width in zip(shown, widths, strict=True):
        drawn.add_column(
            headings[number], justify="right" if number in right else "left", width=width
        )
    for row in cells:
        drawn.add_row(*(Text(row[number]) for number in shown))
    out.print(drawn)


def _fit(columns: Sequence[Sequence[str]]) -> list[int] | None:
    """Return widths with which the columns fit the window, or None if there are none.

    Args:
        columns: For each column its heading and its cells.
    """
    widths = [max(map(cell_len, column)) for column in columns]
    least = [min(width, _least(column)) for width, column in zip(widths, columns, strict=True)]
    missing = sum(widths) + GAP * (len(widths) - 1) - out.width
    for number in sorted(range(len(widths)), key=lambda number: least[number] - widths[number]):
        taken = max(0, min(missing, widths[number] - least[number]))
        widths[number] -= taken
        missing -= taken
    return None if missing > 0 else widths


def _least(column: Sequence[str]) -> int:
    """Return the least width of a column, whose text may be folded but not names and numbers."""
    heading, *cells = column
    is_text = any(" " in cell and cell_len(cell) > NARROWEST_TEXT for cell in cells)
    words = max(map(cell_len, heading.split()), default=0)
    widest = NARROWEST_TEXT if is_text else max(map(cell_len, cells), default=0)
    return max(words, widest)


def _show_blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            out.print()
        facts([(name, cell) for name, cell in zip(headings, row, strict=True) if cell])
