"""From hard-wrapped lines to paragraphs."""

from collections.abc import Iterable, Iterator
from statistics import quantiles

SLACK = 6
"""Characters by which hand-wrapped prose ends its lines early."""
NARROWEST, WIDEST = 40, 120
"""Widths, in characters, that prose is wrapped at; others are no wrapped prose."""


def unwrap(text: str) -> tuple[str, int]:
    """Join the lines of a text's wrapped paragraphs; return it with the number of joins.

    Verse, headings and lists keep their lines: where the next word would have fitted on the line
    above, someone ended that line on purpose.
    """
    lines = text.split("\n")
    lengths = [len(line.rstrip()) for line in lines if line.strip()]
    width = round(quantiles(lengths, n=20)[-1]) if len(lengths) > 1 else 0
    if not NARROWEST <= width <= WIDEST:
        return text, 0
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    joined = ["\n".join(join_wrapped(block, width - SLACK)) for block in blocks if block]
    before = sum(max(0, len(block) - 1) for block in blocks)
    return "\n\n".join(joined), before - sum(block.count("\n") for block in joined)


def join_wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield paragraphs of hard-wrapped lines, single spaces between words.

    A line is joined to the one above unless it is blank, set in further, or its first word would
    have fitted above: then someone ended the line there.

    Args:
        lines: Without line ends.
        width: The column that the text was wrapped at.
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
