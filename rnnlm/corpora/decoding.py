"""Decoding: turn bytes into text, given the encoding that `encodings.detect` found."""

import re
from typing import NamedTuple

from rnnlm.corpora.encodings import Encoding
from rnnlm.errors import CorpusError

_GLYPHS = {
    code: glyph
    for code, glyph in enumerate("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼", start=1)
    if chr(code) not in "\t\n\r\x1a"
}
"""Symbols that DOS displayed for control characters, by the character's code. Tabs, line ends and
the end-of-file character are not included, and so stay as they are."""
_ESCAPED = re.compile("[\udc80-\udcff]+")
_BROKEN_OFF = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{1,2}")
"""Matches the beginning of a UTF-8 character that is cut short: its first two or three bytes."""

_PAGE_END = re.compile(r"(?:\n|(?<![ \t]))[ \t]*[\f\v][ \t\f\v]*\n?")
"""Matches a form feed with the white space around it. The look-behind keeps a search from trying
each blank of a long run, which would take quadratic time."""


class Decoded(NamedTuple):
    """A decoded text.

    Attributes:
        text: The text; lines and pages end with a newline.
        mended: Numbers of the lines, counted from 1, that contained bytes that are not UTF-8. Such
            bytes were read as Windows-1252.
    """

    text: str
    mended: tuple[int, ...] = ()


def decode(data: bytes, encoding: Encoding, origin: str) -> Decoded:
    """Turn bytes into text.

    Args:
        data: Bytes to decode, which begin and end at character boundaries of `encoding`.
        encoding: Encoding of the bytes, as `encodings.detect` returned it.
        origin: Name of the source, for error messages.

    Raises:
        CorpusError: A byte does not fit the encoding.
    """
    try:
        text, mended = _mend(data) if encoding.is_mended else Decoded(data.decode(encoding.codec))
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        found = data[position : position + 1].hex()
        raise CorpusError(
            f"{origin} is not valid {encoding.codec} at byte {position:,} (0x{found}); set its "
            "encoding with --set corpus.encoding=NAME"
        ) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not encoding.has_glyphs and ("\f" in text or "\v" in text):
        text = _PAGE_END.sub("\n", text)
    text = text.removeprefix("\ufeff").removesuffix("\x1a")  # DOS ended files with the latter
    return Decoded(text.translate(_GLYPHS) if encoding.has_glyphs else text, mended)


def _mend(data: bytes) -> Decoded:
    """Decode text that is mostly UTF-8.

    Bytes that are not valid UTF-8 are read as Windows-1252. A UTF-8 character that lacks its last
    bytes is dropped.
    """
    text = data.decode("utf-8", "surrogateescape")
    lines, line, seen = [], 1, 0
    for match in _ESCAPED.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        lines.append(line)
    return Decoded(_ESCAPED.sub(_as_windows, text), tuple(lines))


def _as_windows(match: re.Match[str]) -> str:
    stray = match[0].encode("utf-8", "surrogateescape")
    return "" if _BROKEN_OFF.fullmatch(stray) else stray.decode("cp1252", "replace")
