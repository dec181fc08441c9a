"""Cut texts into documents: lines, paragraphs, passages, chapters or records.

The code that finds the ends of passages exists in C (`cutting.c`, which setuptools builds) and in
Python, which is used if the C code was not built.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rnnlm.config import ReadingConfig
from rnnlm.corpora.compiled import cutting as _native
from rnnlm.corpora.hashing import content_hash

_PARAGRAPH_END = re.compile(r"\n(?:[^\S\n]*\n)+")  # the next line keeps its indentation
_NO_ABBREVIATION = "".join(
    rf"(?<!\b{name}.)" for name in ("Mr", "Mrs", "Ms", "Dr", "St", "Gen", "Sen", "[A-Z]")
)
_SENTENCE_END = re.compile(rf"[.!?…؟۔।]{_NO_ABBREVIATION}[\"'”’»)]*\s+|[。！？｡]+[”’」』）》]*\s*")
_BREAKS = (_PARAGRAPH_END, re.compile(r"\n"), _SENTENCE_END, re.compile(r"\s+"))
"""Patterns after whose matches a text can be cut, in order of preference: the end of a paragraph, a
line, a sentence, a word."""
CHAPTER = re.compile(
    r"^[ \t]*(?:(?:chapter|book|part|act|canto|letter|volume)[ \t]+(?:[0-9]+|[ivxlcdm]+|one|two|"
    r"three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|first|second|third|last)"
    r"\b.{0,80}|[0-9]{1,3}\.[ \t]+\S.{0,70})$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that begins a chapter, such as `CHAPTER I. Down the Rabbit-Hole` or `1.  The Cyclone`."""


def documents_of(text: str, config: ReadingConfig, passage_characters: int) -> Iterator[str]:
    """Yield the documents of a text, cut as the setting `config.documents` requires.

    If the whole text is one document, it is kept unchanged, except that one newline at its end is
    removed.

    Args:
        text: Clean text of a record or file.
        config: Defines what a document is: the whole text, a line, a paragraph, and so on.
        passage_characters: Approximate length of a document if the documents are passages.
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
    """Yield the lines of `text` without trailing white space, leaving out blank lines."""
    return (line.rstrip() for line in text.split("\n") if line.strip())


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a text, which are separated by blank lines."""
    for paragraph in _PARAGRAPH_END.split(text):
        yield from _visible(paragraph)


def records(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of a text between the matches of a regular expression.

    Args:
        text: Text to cut.
        separator: The regular expression; if empty, blank lines separate the parts.
    """
    pattern = re.compile(separator, re.MULTILINE) if separator else _PARAGRAPH_END
    place = 0
    for match in pattern.finditer(text):
        yield from _visible(text[place : match.start()])
        place = match.end()
    yield from _visible(text[place:])


def chapters(text: str) -> Iterator[str]:
    """Yield the chapters of a text, each beginning with its heading.

    Text before the first heading counts as a chapter. Headings with little or no text after them,
    as in a table of contents, are left out.
    """
    starts = [match.start() for match in CHAPTER.finditer(text)]
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        chapter = text[start:end].strip("\n").rstrip()
        if len(chapter) > 2 * len(chapter.split("\n", 1)[0].strip()):
            yield chapter


def passages(text: str, characters: int) -> Iterator[str]:
    """Cut a text into passages of about `characters` characters that end where a paragraph ends.

    Passages are slices of the text: nothing between their first and last visible character is
    changed. Whether a passage ends after a paragraph depends on the hash of that paragraph, not on
    a count from the start of the text. An edit therefore changes only the passages around it; the
    rest of the text is cut as before. A paragraph of more than `2 * characters` characters is cut
    at line ends, and a line longer than this at sentence ends. Only a sentence longer than this is
    cut at a space.
    """
    start = 0
    for end in _slices(text, 0, len(text), characters, within_line=False):
        yield from _visible(text[start:end])
        start = end


def sentence_ends(text: str, start: int, end: int, characters: int) -> list[int]:
    """Cut a line into groups of sentences; return the offset in the text at which each group ends.

    Whether a group ends after a sentence depends on the hash of that sentence, as in `passages`.

    Args:
        text: Text that contains the line.
        start: Offset in the text of the first character of the line.
        end: Offset in the text of the end of the line.
        characters: Approximate length of a group.
    """
    return _slices(text, start, end, characters, within_line=True)


def _slices(text: str, start: int, end: int, characters: int, within_line: bool) -> list[int]:
    """Cut a part of a text into slices of about `characters` characters; return their ends.

    Args:
        text: The text.
        start: Offset of the first character of the part.
        end: Offset of the end of the part.
        characters: Approximate length of a slice.
        within_line: Whether the part is a single line, which is cut at sentence ends.
    """
    if _native:
        found = _native.slices(text, start, end, characters, within_line)
        ends: list[int] = np.frombuffer(found, np.int64).tolist()
        return ends
    part = text[start:end]
    breaks = _BREAKS[2:] if within_line else _BREAKS
    return [start + e for e in _gathered(part, _ends(part, 2 * characters, breaks), characters)]


def _gathered(text: str, ends: Iterable[int], characters: int) -> Iterator[int]:
    """Yield the ends of consecutive slices of a text, each of about `characters` characters.

    A slice consists of whole parts, such as paragraphs. Once it has half the length `characters`,
    it ends after the first part whose hash is below a limit that is proportional to the length of
    the part. Once it has twice the length `characters`, it ends in any case.

    Args:
        text: Text to cut.
        ends: Offsets at which the parts of the text end; the last is the end of the text.
        characters: Approximate length of a slice.
    """
    start = last = 0
    for end in ends:
        size = end - start
        if size >= 2 * characters or (
            size >= characters / 2 and _share(text[last:end]) < 2.0 * (end - last) / characters
        ):
            yield end
            start = end
        last = end
    if start < last:
        yield last


def _ends(text: str, longest: int, breaks: Sequence[re.Pattern[str]]) -> Iterator[int]:
    """Yield the offsets at which a text can be cut, the end of the text included.

    Args:
        text: Text to cut.
        longest: Most characters between two consecutive offsets.
        breaks: Patterns, such as paragraph ends and line ends, in order of preference. The text is
            cut after each match of the first pattern. Only parts that are then longer than
            `longest` are cut by the next pattern, and finally at any character.
    """
    if not breaks:
        yield from range(longest, len(text), longest)
        yield len(text)
        return
    start = 0
    for end in [*(match.end() for match in breaks[0].finditer(text)), len(text)]:
        if end - start <= longest:
            yield end
        else:
            part = text[start:end]
            yield from (start + inner for inner in _ends(part, longest, breaks[1:]))
        start = end


def _visible(passage: str) -> Iterator[str]:
    """Yield a passage without leading newlines and trailing white space; nothing if it is blank."""
    visible = passage.strip("\n").rstrip()
    if visible:
        yield visible


def _share(text: str) -> float:
    """Return the hash of a text as a number from 0 to 1."""
    return content_hash(text) / 2.0**64
