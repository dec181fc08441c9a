"""Cut a text into paragraphs, each of which can be assigned to a split as a whole.

Where a paragraph begins and ends depends only on the text near it, never on the size of the text.
The code exists in C (`text.c`, which setuptools builds) and in Python, which is used if the C code
was not built.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.compiled import text as _native
from rnnlm.corpora.cutting import sentence_ends

LONG_LINE = 200
"""Length in characters above which a line is a separate paragraph."""
LONGEST = 2000
"""Length in characters above which a line is cut into groups of sentences."""
GROUP = 500
"""Approximate length, in characters, of these groups of sentences."""

_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")

Bounds = NDArray[np.int64]


def paragraphs(text: str) -> Bounds:
    """Return the start and end offsets of each paragraph of a text, shape (paragraphs, 2).

    A paragraph is the text between blank lines, together with the white space after it. In a block
    of text between blank lines that is long or has long lines, each line is a paragraph instead; a
    very long line is cut into groups of sentences. Concatenated, the paragraphs are the text.
    """
    if _native:
        found = np.frombuffer(_native.paragraphs(text, LONG_LINE, LONGEST), np.int64)
    else:
        found = np.array([*_paragraphs(text)], np.int64)
    bounds: Bounds = found.reshape(-1, 2)
    parts, done = [], 0
    for number in np.flatnonzero(bounds[:, 1] - bounds[:, 0] > LONGEST).tolist():
        start, end = bounds[number].tolist()
        ends = sentence_ends(text, start, end, GROUP)
        parts += [bounds[done:number], np.array([[start, *ends[:-1]], ends]).T]
        done = number + 1
    return np.concatenate([*parts, bounds[done:]])


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each paragraph, like `paragraphs` of `text.c`.

    Lines that are too long are not cut into groups of sentences here.
    """
    start = 0
    ends = [*(match.span() for match in _BLANK_LINES.finditer(text)), (len(text), len(text))]
    for last, end in ends:
        size = end - start
        if size <= LONG_LINE or (size <= LONGEST and text.find("\n", start, last) < 0):
            if size:
                yield start, end
        else:
            yield from _lines(text, start, end)
        start = end


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each line of a block, the text between blank lines.

    If the block and all its lines are short, only the start and end of the whole block are yielded.
    """
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and not lines[-1].strip():  # blank lines belong to the line before
        lines[-2:] = [lines[-2] + lines[-1]]
    if end - start <= LONGEST and max(map(len, lines)) <= LONG_LINE:
        yield start, end
        return
    for line in lines:
        yield start, start + len(line)
        start += len(line)
