"""Unicode normalisation in linear time.

A character may be followed by any number of combining marks, which normalisation sorts. The usual
implementations take time quadratic in that number. So a run of marks is cut after `MOST_MARKS`.
"""

import re
import sys
import unicodedata
from functools import cache
from typing import Literal

MOST_MARKS = 30
"""Most combining marks in a row that are kept where a text is normalised; no language needs more.
Source: Unicode Standard Annex 15, "Stream-Safe Text Format"."""
_SLICE = 512

Form = Literal["NFC", "NFD", "NFKD"]


def compose(text: str) -> str:
    """Return a text in Unicode's form NFC; see `normalize`."""
    return normalize("NFC", text)


def normalize(form: Form, text: str) -> str:
    """Return a text in a form of Unicode.

    A text that is already in that form is returned unchanged. Of any other text, at most
    `MOST_MARKS` combining marks in a row are kept.
    """
    if is_normalized(form, text):
        return text
    return _cut(unicodedata.normalize(form, _cut(text)))  # one mark may become two


def is_normalized(form: Form, text: str) -> bool:
    """Return whether a text is in a form of Unicode; False if in doubt.

    The text is looked at in short slices, because the check itself may take quadratic time.
    """
    if text.isascii():
        return True
    for start in range(0, len(text), _SLICE):
        part = text[start : start + _SLICE]
        begins = text[max(0, start - 1) : start + 1]  # they may compose across the border
        if unicodedata.combining(part[0]) or not all(
            unicodedata.is_normalized(form, some) for some in (begins, part)
        ):
            return False
    return True


def _cut(text: str) -> str:
    return _runs().sub(lambda run: run[0][:MOST_MARKS], text)


@cache
def _runs() -> re.Pattern[str]:
    """Return a pattern that matches runs of more than `MOST_MARKS` combining marks."""
    marks = [code for code in range(0x300, sys.maxunicode) if unicodedata.combining(chr(code))]
    ends = [code for code in marks if not unicodedata.combining(chr(code + 1))]
    starts = [code for code in marks if not unicodedata.combining(chr(code - 1))]
    ranges = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True))
    return re.compile(f"[{ranges}]{{{MOST_MARKS + 1},}}")
