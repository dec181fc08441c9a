"""From bytes to text in an encoding that was found before."""

import re
from typing import NamedTuple

from rnnlm.corpora.encodings import Encoding
from rnnlm.errors import CorpusError

_GLYPHS = {
    code: glyph
    for code, glyph in enumerate("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼", start=1)
    if chr(code) not in "\t\n\r\x1a"
}
"""What DOS showed for control characters; those that end lines and files stay what they are."""
_ESCAPED = re.compile("[\udc80-\udcff]+")
_BROKEN_OFF = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{1,2}")
"""The beginning of a character of UTF-8, two bytes or more of it."""

_PAGE_END = re.compile(r"\n?[ \t]*[\f\v][ \t\f\v]*\n?")


class Decoded(NamedTuple):
    """A text.

    Attributes:
        text: With newline line ends, also where a page ended.
        mended: Lines, from 1, of the bytes that did not fit and were read as Windows-1252.
    """

    text: str
    mended: tuple[int, ...] = ()


def decode(data: bytes, encoding: Encoding, origin: str) -> Decoded:
    """Turn bytes into text.

    Args:
        data: Whole characters in `encoding`.
        encoding: What `encodings.detect` returned.
        origin: What to call the source in errors.

    Raises:
        CorpusError: A byte does not fit the encoding.
    """
    try:
        text, mended = _mend(data) if encoding.is_mended else Decoded(data.decode(encoding.codec))
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        raise CorpusError(
            f"{origin} is no {encoding.codec} at byte {position:,} (0x{data[position]:02x}); "
            "name its encoding with --set corpus.encoding=NAME"
        ) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not encoding.has_glyphs and ("\f" in text or "\v" in text):
        text = _PAGE_END.sub("\n", text)
    text = text.removeprefix("\ufeff").removesuffix("\x1a")  # DOS ended files with the latter
    return Decoded(text.translate(_GLYPHS) if encoding.has_glyphs else text, mended)


def _mend(data: bytes) -> Decoded:
    """Read bytes that are no UTF-8 as Windows-1252; leave out characters that break off."""
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
