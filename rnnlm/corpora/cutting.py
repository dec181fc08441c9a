"""From texts to documents: lines, paragraphs, passages, chapters."""

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
    for passage in _gathered(text, _ends(text, 2 * characters, _BREAKS), characters):
        yield from _visible(passage)


def sentences(line: str, characters: int) -> Iterator[str]:
    """Cut a long line into groups of sentences of about `characters` characters, nothing left out.

    Where a group ends depends on its last sentence, as with `passages`.
    """
    return _gathered(line, _ends(line, 2 * characters, _BREAKS[2:]), characters)


def _gathered(text: str, ends: Iterable[int], characters: int) -> Iterator[str]:
    """Yield slices of about so many characters; the hash of the last part says where one ends.

    Args:
        text: What is cut.
        ends: Where its parts end, the end of the text the last.
        characters: About how long a slice is.
    """
    start = last = 0
    for end in ends:
        size = end - start
        if size >= 2 * characters or (
            size >= characters / 2 and _unit_hash(text[last:end]) < 2.0 * (end - last) / characters
        ):
            yield text[start:end]
            start = end
        last = end
    if start < last:
        yield text[start:last]


def _ends(text: str, longest: int, breaks: Sequence[re.Pattern[str]]) -> Iterator[int]:
    """Yield where a text's parts end: at the best breaks, in overlong parts at the next best."""
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
    """Yield the passage without blank ends, unless nothing is left."""
    if passage.strip():
        yield passage.strip("\n").rstrip()


def _unit_hash(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
