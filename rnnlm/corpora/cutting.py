"""From texts to documents: lines, paragraphs, passages, chapters; and to the units of a split."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from rnnlm.config import ReadingConfig

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_NO_ABBREVIATION = "".join(
    rf"(?<!\b{name}.)" for name in ("Mr", "Mrs", "Ms", "Dr", "St", "Gen", "Sen", "[A-Z]")
)
_SENTENCE_END = re.compile(rf"[.!?…؟۔।]{_NO_ABBREVIATION}[\"'”’»)]*\s+|[。！？｡]+[”’」』）》]*\s*")
_BREAKS = (_PARAGRAPH_END, re.compile(r"\n"), _SENTENCE_END, re.compile(r"\s+"))
"""Where a text may be cut, best places first; the cut is behind the match."""
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_LONG_LINE = 200
"""Characters from which on a line is a paragraph by itself."""
_LONGEST_UNIT = 2000
_CHUNK = 500
CHAPTER = re.compile(
    r"^[ \t]*(?:(?:chapter|book|part|act|canto|letter|volume)[ \t]+(?:[0-9]+|[ivxlcdm]+|one|two|"
    r"three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|first|second|third|last)"
    r"\b.{0,80}|[0-9]{1,3}\.[ \t]+\S.{0,70})$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that begins a chapter: `CHAPTER I. Down the Rabbit-Hole`, `1.  The Cyclone`."""


def documents_of(text: str, config: ReadingConfig, passage_characters: int) -> Iterator[str]:
    """Yield the documents of a text as `config.documents` defines them.

    A whole text is kept as it is, but for its last line end.
    """
    match config.documents:
        case "whole":
            return iter([text.removesuffix("\n")] if text.strip() else [])
        case "lines":
            return lines(text)
        case "paragraphs":
            return paragraphs(text)
        case "chapters":
            return chapters(text)
        case "passages":
            return passages(text, passage_characters)
        case "records":
            return records(text, config.separator)
        case "auto":
            raise AssertionError("what a document is was not decided")


def lines(text: str) -> Iterator[str]:
    """Yield the lines of `text` without their ends, leaving out blank ones."""
    return (line.rstrip() for line in text.split("\n") if line.strip())


def paragraphs(text: str) -> Iterator[str]:
    """Yield what stands between blank lines."""
    for paragraph in _PARAGRAPH_END.split(text):
        yield from _visible(paragraph)


def records(text: str, separator: str) -> Iterator[str]:
    """Yield what stands between matches of a regular expression, or between blank lines."""
    pattern = re.compile(separator, re.MULTILINE) if separator else _PARAGRAPH_END
    place = 0
    for match in pattern.finditer(text):
        yield from _visible(text[place : match.start()])
        place = match.end()
    yield from _visible(text[place:])


def chapters(text: str) -> Iterator[str]:
    """Yield what stands between chapter headings, each chapter with its own.

    Headings with nothing between them, as in a table of contents, are no chapters.
    """
    starts = [match.start() for match in CHAPTER.finditer(text)]
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        chapter = text[start:end].strip("\n").rstrip()
        if len(chapter) > 2 * len(chapter.split("\n", 1)[0].strip()):
            yield chapter


def passages(text: str, characters: int) -> Iterator[str]:
    """Yield passages of about `characters` characters that end where a paragraph ends.

    Passages are slices of the text: nothing between their first and last visible character is
    changed. Where one ends depends on the hash of its last paragraph, not on a running count, so
    that an edit changes the passages around it and leaves the rest cut as it was. A paragraph much
    longer than a passage is cut at line ends, then sentence ends; only a sentence longer than two
    passages is cut at a space.
    """
    for passage in _gathered(_pieces(text, 2 * characters, _BREAKS), characters):
        yield from _visible(passage)


def units(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the paragraphs of a text, each with the white space behind it.

    A paragraph is what stands between blank lines; where lines are long or blank lines rare, it is
    a line. A line of more than `_LONGEST_UNIT` characters is cut into groups of sentences. Where a
    unit begins and ends depends on what stands near it, never on the size of the text.
    """
    start = 0
    ends = [*(match.span() for match in _BLANK_LINES.finditer(text)), (len(text), len(text))]
    for last, end in ends:
        size = end - start
        if size <= _LONG_LINE or (size <= _LONGEST_UNIT and text.find("\n", start, last) < 0):
            if size:
                yield start, end
        else:
            yield from _units_of_block(text, start, end)
        start = end


def _units_of_block(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the units of what stands between blank lines."""
    is_short = end - start <= _LONGEST_UNIT
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and not lines[-1].strip():  # blank lines belong to the line before
        lines[-2:] = [lines[-2] + lines[-1]]
    if is_short and max(map(len, lines)) <= _LONG_LINE:
        yield start, end
        return
    for line in lines:
        parts = [line]
        if len(line) > _LONGEST_UNIT:
            parts = [*_gathered(_pieces(line, 2 * _CHUNK, _BREAKS[2:]), _CHUNK)]
        for part in parts:
            yield start, start + len(part)
            start += len(part)


def _gathered(pieces: Iterable[str], characters: int) -> Iterator[str]:
    """Yield runs of pieces, joined, of about so many characters, ends chosen by their hashes."""
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        ends_here = _unit_hash(piece) < 2.0 * len(piece) / characters
        if size >= 2 * characters or (size >= characters / 2 and ends_here):
            yield "".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered)


def _pieces(text: str, longest: int, breaks: Sequence[re.Pattern[str]]) -> Iterator[str]:
    """Cut a text into slices that end at the best breaks; only overlong ones at the next best."""
    if not breaks:
        yield from (text[start : start + longest] for start in range(0, len(text), longest))
        return
    start = 0
    for end in [*(match.end() for match in breaks[0].finditer(text)), len(text)]:
        piece, start = text[start:end], end
        if len(piece) <= longest:
            yield piece
        else:
            yield from _pieces(piece, longest, breaks[1:])


def _visible(passage: str) -> Iterator[str]:
    """Yield the passage without blank ends, unless nothing is left."""
    if passage.strip():
        yield passage.strip("\n").rstrip()


def _unit_hash(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
