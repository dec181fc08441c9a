"""Decide what a document is in a plain text file: a line, a record or a passage.

The decision depends on what the lines look like, not on how many there are.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, NamedTuple

from rnnlm.corpora.unwrapping import is_source, unwrap

Kind = Literal["lines", "passages", "records"]

LONGEST_RECORD = 3000
"""Most characters in a typical (median) record. Parts of a text that are typically longer are taken
as chapters, not records."""
FEWEST_SEPARATORS = 5
ALIKE = 0.8
"""Least share of the blocks (texts between blank lines) that must look alike for each block to be a
record. It is also the least share of separator lines that must be the same."""

_MARKER = re.compile(r"<\|[a-z_]{2,20}\|>|</?(?:s|bos|eos)>|\[(?:BOS|EOS)\]", re.IGNORECASE)
_RULE = re.compile(r"^[ \t]*([%*=_~#+•§-])(?:[ \t]*\1)*[ \t]*$", re.MULTILINE)
_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+")
_BLANKS = re.compile(r"\n(?:[^\S\n]*\n){2,}")
_GAME = re.compile(r'^\[Event "', re.MULTILINE)
_STOP = re.compile(r"[.!?…؟।][\"'”’)]* ")
"""Matches the end of a sentence within a line, which is rare in lists."""
_KEY = re.compile(r"([A-Z][\w ]{0,20}):")


class Layout(NamedTuple):
    """What a document of a plain text is.

    Attributes:
        documents: Kind of document, as in `corpus.documents`.
        separator: Regular expression between records, as in `corpus.separator`; empty if blank
            lines separate the records.
        reason: What the decision is based on, in a few words.
    """

    documents: Kind
    separator: str
    reason: str


def recognize_layout(text: str) -> Layout:
    """Return what a document is, judged by the beginning of a text.

    Args:
        text: Beginning of the text, in whole lines, not blank.
    """
    return _marked(text) or _ruled(text) or _blocks(text) or _lines_or_passages(text)


def _marked(text: str) -> Layout | None:
    """Recognise records separated by markers such as `<|endoftext|>`, and chess games."""
    counts = Counter(_MARKER.findall(text))
    markers = [marker for marker, count in counts.items() if count >= 2]
    if markers:
        pattern = "|".join(re.escape(marker) for marker in sorted(markers))
        return Layout("records", pattern, f"separated by {' and '.join(markers[:2])}")
    if len(_GAME.findall(text)) >= 2:
        return Layout("records", r'\n+(?=\[Event ")', "chess games, each from its [Event] on")
    return None


def _ruled(text: str) -> Layout | None:
    """Recognise records separated by lines of a repeated symbol, such as `%` or `-----`."""
    rules = [match for match in _RULE.finditer(text) if match[0].strip()]
    counts = Counter(match[0].strip() for match in rules)
    if not counts:
        return None
    rule, count = counts.most_common(1)[0]
    if count < FEWEST_SEPARATORS or count < ALIKE * len(rules):
        return None
    pattern = rf"(?m)^[ \t]*{re.escape(rule)}[ \t]*$"
    parts = [part.strip() for part in re.split(pattern, text)]
    sizes = [*map(len, parts)]
    if max(median(sizes), fmean(sizes)) > LONGEST_RECORD or _underlines(parts, rule):
        return None  # breaks between the scenes of a novel, or underlined headings
    return Layout("records", pattern, f"separated by {count:,} lines {rule[:10]}")


def _underlines(parts: Sequence[str], rule: str) -> bool:
    """Return whether lines of a repeated symbol underline headings instead of separating records.

    They do if the lines above them are mostly about as long as the symbols.

    Args:
        parts: The text between the lines of symbols.
        rule: The repeated symbol, as often as it is repeated in a line.
    """
    above = [part.rsplit("\n", 1)[-1] for part in parts[:-1]]
    return len(rule) > 3 and sum(abs(len(line) - len(rule)) <= 2 for line in above) > (
        0.5 * len(above)
    )


def _blocks(text: str) -> Layout | None:
    """Recognise records separated by blank lines.

    The blocks between blank lines are taken as records if most begin with the same key or symbol,
    have the same number of lines, or are poems. Blocks of one short line are taken as lines.
    """
    blocks = [block for block in _BLANK.split(text.strip("\n")) if block.strip()]
    if len(blocks) < FEWEST_SEPARATORS or is_source(text):
        return None
    sizes = [block.count("\n") + 1 for block in blocks]
    size, count = Counter(sizes).most_common(1)[0]
    longest = max(len(line) for block in blocks for line in block.split("\n"))
    is_short = median(map(len, blocks)) <= LONGEST_RECORD
    keys = Counter(match[1] for block in blocks if (match := _KEY.match(block)))
    starts = Counter(block[0] for block in blocks if not block[0].isalnum())
    if keys and keys.most_common(1)[0][1] > ALIKE * len(blocks) and is_short:
        key = keys.most_common(1)[0][0]
        return Layout("records", "", f"{len(blocks):,} blocks that begin with {key}:")
    start, begun = starts.most_common(1)[0] if starts else ("", 0)
    if begun > ALIKE * len(blocks) and start not in "\"'“”‘’«»„—–-([ \t\\%#/" and is_short:
        return Layout("records", "", f"{len(blocks):,} blocks that begin with {start}")
    if size > 1 and count > ALIKE * len(blocks) and longest <= 200:
        if unwrap(text)[1] < 0.1 * sum(sizes):
            return Layout("records", "", f"{len(blocks):,} blocks of {size} lines")
        return None
    if size == 1 and count > 0.95 * len(blocks) and median(map(len, blocks)) <= 60:
        return Layout("lines", "", f"{len(blocks):,} short lines, blank ones between")
    return _poems(text, longest)


def _poems(text: str, longest: int) -> Layout | None:
    """Recognise poems: verse with several blank lines between poems, and one between stanzas."""
    poems = [poem for poem in _BLANKS.split(text.strip("\n")) if poem.strip()]
    stanzas = len(_BLANK.findall(text)) - len(poems) + 1
    if len(poems) < FEWEST_SEPARATORS or not stanzas or longest > 100:
        return None
    if median(map(len, poems)) > LONGEST_RECORD or unwrap(text)[1] > 0.1 * text.count("\n"):
        return None
    return Layout("records", _BLANKS.pattern, f"{len(poems):,} parts, blank lines between")


def _lines_or_passages(text: str) -> Layout:
    lines = text.split("\n")
    filled = [len(line) for line in lines if line.strip()]
    blank = 1.0 - len(filled) / max(1, len(lines) - 1)
    typical = median(filled) if filled else 0
    if blank > 0.05:
        return Layout("passages", "", f"{blank:.0%} of the lines are blank: paragraphs")
    if typical > 200 or (filled and fmean(filled) > 200):
        return Layout("passages", "", f"lines of {fmean(filled):.0f} characters: paragraphs")
    begin_or_end = sum(line[:1].isupper() or bool(_STOP.search(line)) for line in lines)
    has_sentences = begin_or_end > 0.05 * len(filled)
    is_wrapped = has_sentences and unwrap(text)[1] > 0.3 * len(filled)
    if is_wrapped or _runs_on(lines):
        return Layout("passages", "", f"sentences that run over lines of {typical:.0f} characters")
    return Layout("lines", "", f"lines of {typical:.0f} characters, none blank")


def _runs_on(lines: Sequence[str]) -> bool:
    """Return whether sentences continue from one line to the next.

    They do if many lines begin with a small letter, and most lines that begin with a capital follow
    the end of a sentence.
    """
    pairs = [(above.rstrip(), line.lstrip()) for above, line in pairwise(lines) if above and line]
    small = sum(line[:1].islower() for _, line in pairs)
    large = [above[-1:] in '.!?"”»' for above, line in pairs if line[:1].isupper()]
    return (
        small > 0.15 * len(pairs)
        and len(large) > 0.1 * len(pairs)
        and (sum(large) > 0.6 * len(large))
    )
