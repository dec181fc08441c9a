"""Cleaning of texts by rules, each of which the configuration names.

The number of changes that each rule makes is counted.
"""

import re
from collections import Counter
from collections.abc import Callable

from rnnlm.composing import compose, is_normalized
from rnnlm.config import CleaningConfig
from rnnlm.corpora.cutting import CHAPTER
from rnnlm.corpora.mojibake import suspects
from rnnlm.corpora.unwrapping import unwrap

INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Matches a soft hyphen, a zero-width space, a word joiner or a byte-order mark."""

_GUTENBERG_START = re.compile(r"^\*\*\* ?START OF TH[^\n]*\n", re.MULTILINE)
_GUTENBERG_END = re.compile(
    r"^(?:End of (?:the |this )?Project Gutenberg|\*\*\* ?END OF TH)", re.MULTILINE
)
_NOTES = re.compile(
    r"\[(?:[ivxlcIVXLC]{1,7}[_.])?\d{1,4}\]"
    r"|\[(?:Illustration|Footnote|Pg|Page)\b[^\]]{0,2000}\][ \t]*"
)
_RULES = re.compile(r"^[ \t]*(?:[*_=~–—-][ \t]*){3,}$\n?", re.MULTILINE)
_QUESTIONS = re.compile(r"^(?:Q|QUESTION|Question)(?:[:.]|\s).*$\n?", re.MULTILINE)
_SPEAKERS = re.compile(r"^(?:(?:THE )?PRESIDENT[A-Z .]*|President \w+):[ \t]*", re.M)
_STAGE = re.compile(
    r"[ \t]{0,100}[(\[](?:Laughter|Applause|Inaudible|Cheers)[^)\]]{0,500}[)\]]", re.IGNORECASE
)
_CONTENTS_LINES = 5
"""Least number of consecutive chapter headings that are taken as a table of contents."""


def clean(text: str, config: CleaningConfig, counts: Counter[str], is_suspect: bool = True) -> str:
    """Return the cleaned text.

    Args:
        text: A record's text, before it is cut into documents.
        config: Rules to apply.
        counts: Number of changes by a description of the change; the changes made here are added.
        is_suspect: Whether the text may contain mojibake (text decoded with a wrong encoding); see
            `mojibake.suspects`.
    """
    if not text.isascii():
        if config.mojibake and is_suspect:
            import ftfy

            text = _by_line(text, ftfy.fix_encoding, "lines of mojibake mended", counts, suspects)
        if config.nfc and not is_normalized("NFC", text):
            text = _by_line(text, compose, "lines composed (NFC)", counts, _not_ascii)
        if config.soft_hyphens:
            text = _cut(INVISIBLE, text, "invisible characters removed", counts)
    for rule in ("gutenberg", "contents"):
        if rule in config.boilerplate:
            text = _RULES_BY_NAME[rule](text, counts)
    if config.unwrap:
        text, joins = unwrap(text)
        counts["line ends unwrapped"] += joins
    for rule in ("notes", "rules", "transcript"):
        if rule in config.boilerplate:
            text = _RULES_BY_NAME[rule](text, counts)
    for pattern in config.remove:
        text = _cut(re.compile(pattern, re.MULTILINE), text, f"matches of {pattern}", counts)
    return text


def _gutenberg(text: str, counts: Counter[str]) -> str:
    start, end = _GUTENBERG_START.search(text), _GUTENBERG_END.search(text)
    kept = text[start.end() if start else 0 : end.start() if end else len(text)]
    counts["characters of Gutenberg's header and licence removed"] += len(text) - len(kept)
    return kept


def _contents(text: str, counts: Counter[str]) -> str:
    """Remove tables of contents: chapter headings with nothing but blank lines between them.

    The last heading of such a run is kept, because the text after the table belongs to it.
    """
    kept: list[str] = []
    run: list[str] = []
    for line in [*text.split("\n"), None]:
        if line is not None and (not line.strip() or CHAPTER.match(line)):
            run.append(line)
            continue
        headings = sum(bool(entry.strip()) for entry in run)
        if headings < _CONTENTS_LINES:
            kept += run
        else:  # the last heading belongs to the text after the table
            last = max(place for place, entry in enumerate(run) if entry.strip())
            kept += run[last:]
            counts["lines of contents removed"] += headings - 1
        run = []
        if line is not None:
            kept.append(line)
    return "\n".join(kept)


def _notes(text: str, counts: Counter[str]) -> str:
    return _cut(_NOTES, text, "notes removed", counts)


def _rules(text: str, counts: Counter[str]) -> str:
    return _cut(_RULES, text, "rules removed", counts)


def _transcript(text: str, counts: Counter[str]) -> str:
    text = _cut(_QUESTIONS, text, "questions removed", counts)
    text = _cut(_SPEAKERS, text, "speakers' names removed", counts)
    return _cut(_STAGE, text, "stage directions removed", counts)


_RULES_BY_NAME: dict[str, Callable[[str, Counter[str]], str]] = {
    "gutenberg": _gutenberg,
    "contents": _contents,
    "notes": _notes,
    "rules": _rules,
    "transcript": _transcript,
}


def _cut(pattern: re.Pattern[str], text: str, what: str, counts: Counter[str]) -> str:
    text, times = pattern.subn("", text)
    counts[what] += times
    return text


def _not_ascii(lines: list[str]) -> list[int]:
    return [place for place, line in enumerate(lines) if not line.isascii()]


def _by_line(
    text: str,
    mend: Callable[[str], str],
    what: str,
    counts: Counter[str],
    choose: Callable[[list[str]], list[int]],
) -> str:
    """Apply a function to some lines of a text, and count the lines that change.

    Args:
        text: The text.
        mend: Returns the repaired form of a line.
        what: Name under which the lines that change are counted.
        counts: Number of changes by name; updated.
        choose: Returns the indices of the lines, of all those given, that `mend` is applied to.

    Returns:
        The text with the repaired lines.
    """
    lines = text.split("\n")
    changed = 0
    for place in choose(lines):
        mended = mend(lines[place])
        changed += mended != lines[place]
        lines[place] = mended
    counts[what] += changed
    return "\n".join(lines) if changed else text
