"""Join hard-wrapped lines into paragraphs, if there is evidence that an editor wrapped them.

Two facts distinguish wrapped prose from verse, lists, tables and source code. First, a wrapped line
is full: the first word of the next line would not have fitted on it. Second, the next line
continues in the middle of a sentence, so it mostly begins with a small letter. Both are counted in
each block, the lines between two blank lines. For blocks with too few lines to judge, they are
counted in the whole text. In doubt, the lines are not joined.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.lines import Lines, join, observe

SLACK = 6
"""Number of characters by which a full line of wrapped prose may be shorter than the width."""
NARROWEST, WIDEST = 40, 120
"""Least and greatest width, in characters, of text that is taken as wrapped prose."""
FULL_SHARE = 0.7
"""Least share of full lines in a block of wrapped prose, or in the whole text if blocks are too
short to judge."""
FULL_SHARE_UNCASED = 0.85
"""Value used instead of `FULL_SHARE` for scripts without small letters, where full lines are the
only evidence."""
NEARLY_FULL = 0.7
"""In wrapped prose, a line that is longer than this share of the width is joined to the next line
if that begins with a small letter, even if the line is not full."""
SMALL_SHARE = 0.5
"""Least share of lines with a small first letter, among the lines after a full line that begin with
a letter. Half of this is enough in a block of a text that is wrapped as a whole."""
LINES_TO_TELL = 4
"""Least number of lines in a block for the block to be judged by its own lines."""
INNER_SHARE = 0.3
"""Least share of lines with a punctuation mark inside the line; verse has them at line ends."""
COLUMNS_SHARE = 0.2
"""Greatest share of lines with three consecutive spaces inside the line. Tables, and songs with
chords, have more."""
SOURCE_SHARE = 0.04
"""If more than this share of the lines look like source code, no lines are joined."""

LONGEST_SOURCE = 1000
"""Most characters in a line that looks like source code."""

_SOURCE = re.compile(
    r"\s*(?:\\[A-Za-z]+|%|//|/\*|#!|#include|<[/!?A-Za-z]|@[a-z]+\{|(?:def|class) \w+[(:]"
    r"|from \S+ import |import \w+$)|.*(?:[{}]|\);|=.*;)$"
)

_SOURCE_STARTS, _SOURCE_ENDS = frozenset("\\%/#<@dcfi"), frozenset("{};")
"""First and last characters of the lines that `_SOURCE` can match; most lines have neither."""


def unwrap(text: str) -> tuple[str, int]:
    """Join the lines of wrapped paragraphs; return the text and the number of joins.

    The lines of verse, headings, lists, tables and source code are not joined. If any lines of the
    text are joined, consecutive blank lines become one.
    """
    lines = observe(text)
    filled = lines.length[lines.length > 0]
    margin = round(float(np.quantile(filled, 0.95))) if len(filled) > 1 else 0
    if margin < NARROWEST or is_source(text):
        return text, 0
    joins = _find_joins(lines, margin)
    count = int(joins.sum())
    return (join(text, lines, joins), count) if count else (text, 0)


def _find_joins(seen: Lines, margin: int) -> NDArray[np.bool_]:
    """Decide which lines of a text to join to the line above.

    Args:
        seen: Observations about the lines.
        margin: Width at which the text is probably wrapped: the 95th percentile of the lengths of
            its lines, in characters.

    Returns:
        Whether each line is to be joined to the line above, shape (lines,).
    """
    is_filled = seen.length > 0
    pair = _above(is_filled) & is_filled
    block = np.cumsum(is_filled & ~pair) - 1
    block[~is_filled] = -1  # an extra block at the end, in which nothing is counted
    count = int(block.max()) + 2

    def counted(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(block[mask], minlength=count)

    sizes = counted(is_filled)
    is_judged = sizes >= LINES_TO_TELL
    widest = np.zeros(count, np.int64)
    np.maximum.at(widest, block, seen.length)
    width = np.where(is_judged, widest, margin) - SLACK
    reach = _above(seen.length) + 1 + seen.first_word
    full = pair & (reach > width[block])
    whole = NARROWEST <= margin <= WIDEST and bool(
        _Counts.of(seen, pair, pair & (reach > margin - SLACK), np.sum).is_wrapped(strict=True)
    )
    own = _Counts.of(seen, pair, full, counted).is_wrapped(strict=not whole)
    fits = (width >= NARROWEST - 2 * SLACK) & (width <= WIDEST)
    fits &= counted(seen.has_columns & is_filled) <= COLUMNS_SHARE * sizes
    wrapped = fits & np.where(is_judged, own, whole)
    breaks_off = pair & seen.is_small & (_above(seen.length) > NEARLY_FULL * width[block])
    is_deeper = (seen.indent > _above(seen.indent)) & ~_above(seen.is_item)
    joins: NDArray[np.bool_] = (full | breaks_off) & wrapped[block] & ~seen.is_item & ~is_deeper
    return joins


def _above(values: NDArray[Any]) -> NDArray[Any]:
    """Return the value of the line above each line; zero for the first line."""
    moved = np.zeros_like(values)
    moved[1:] = values[:-1]
    return moved


class _Counts(NamedTuple):
    """Numbers of lines of some kinds, in each block, shape (blocks,), or in a whole text.

    Attributes:
        pairs: Number of lines that have a line above them in the same block.
        full: Number of these lines whose line above is full.
        small: Number of lines below a full line that begin with a small letter.
        large: Number of lines below a full line that begin with a capital letter.
        stops: Number of lines with a line below them that end with a punctuation mark.
        inner: Number of lines with a line below them that have a punctuation mark within the line,
            followed by a space.
    """

    pairs: Any
    full: Any
    small: Any
    large: Any
    stops: Any
    inner: Any

    @classmethod
    def of(
        cls,
        seen: Lines,
        pair: NDArray[np.bool_],
        full: NDArray[np.bool_],
        counted: Callable[[NDArray[np.bool_]], Any],
    ) -> Self:
        """Count lines.

        Args:
            seen: Observations about the lines.
            pair: Whether each line has a line above it in the same block, shape (lines,).
            full: Whether, in addition, the line above is full, shape (lines,).
            counted: Counts the true values of such an array, in each block or in total.
        """
        masks = (pair, full, full & seen.is_small, full & seen.is_large)
        above = (pair & _above(mask) for mask in (seen.is_stopped, seen.has_inner))
        return cls(*map(counted, (*masks, *above)))

    def is_wrapped(self, strict: bool) -> Any:
        """Return whether each block, or the whole text, is wrapped prose.

        Args:
            strict: Whether to require more evidence, because the text around a block is not known
                to be wrapped.

        Returns:
            Booleans of shape (blocks,), or one boolean for a whole text.
        """
        cased = self.small + self.large
        is_cased = cased > 0.3 * self.full
        share = np.where(is_cased, FULL_SHARE, FULL_SHARE_UNCASED)
        wrapped = (self.pairs > 0) & (self.full >= share * self.pairs)
        wrapped &= self.small >= np.where(is_cased, SMALL_SHARE, 0.0) * cased / (1 if strict else 2)
        if strict:
            wrapped &= self.inner >= np.maximum(INNER_SHARE * self.pairs, self.stops)
        return wrapped


def join_wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield paragraphs of lines that are known to be wrapped, with single spaces between words.

    A line is joined to the line above unless it is blank, is indented further, or begins with a
    word that would have fitted on the line above. In the last case, the author ended the line above
    on purpose.

    Args:
        lines: Lines without line ends.
        width: Most characters in a line when the text was wrapped.
    """
    paragraph: list[str] = []
    above = ""
    for line in lines:
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        fits = len(above.rstrip()) + 1 + len(word) <= width
        if paragraph and (not word or fits or _indent(line) > _indent(above)):
            yield " ".join(" ".join(paragraph).split())
            paragraph = []
        if word:
            paragraph.append(line)
        above = line
    if paragraph:
        yield " ".join(" ".join(paragraph).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def is_source(text: str) -> bool:
    """Return whether a text is source code, LaTeX or HTML, whose lines must not be joined."""
    lines = (line.rstrip() for line in text.split("\n", 20_000)[:20_000])
    filled = [line for line in lines if line]
    may_be = (
        line
        for line in filled
        if len(line) <= LONGEST_SOURCE
        and (line[-1] in _SOURCE_ENDS or line.lstrip()[0] in _SOURCE_STARTS)
    )
    return sum(bool(_SOURCE.match(line)) for line in may_be) > SOURCE_SHARE * len(filled)
