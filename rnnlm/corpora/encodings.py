"""Detection of the encoding of a file's text.

The result includes a confidence from 0 to 1.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rnnlm.config import shorten
from rnnlm.errors import CorpusError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LEAST_CONFIDENCE = 0.35
"""Confidence below which an encoding is reported as not sure. In an experiment with texts of at
least 2,000 bytes, the confidence of wrong guesses was below this, and that of right guesses was
0.32 to 0.8 (docs/experiments.md)."""
LEAST_EVIDENCE = 0.1
"""If the confidence of a guess is below this, Windows-1252, the most frequent encoding after UTF-8,
is tried before the guessed encoding."""
LOOKED_AT = 16_000_000
"""Most bytes of a file that are read to find its encoding. Of a longer file, samples from all parts
of it are read."""
WINDOWS = {
    "iso8859-1": "cp1252",
    "iso8859-15": "cp1252",
    "iso8859-2": "cp1250",
    "iso8859-5": "cp1251",
    "iso8859-7": "cp1253",
    "iso8859-8": "cp1255",
    "iso8859-9": "cp1254",
    "iso8859-6": "cp1256",
    "iso8859-13": "cp1257",
}
"""ISO encodings, and for each the similar Windows encoding, which has more characters. A text that
decodes to the same characters in both is reported to be in the Windows encoding."""
JUDGED = 200_000
"""Most bytes that are passed to chardet, which guesses encodings. Of a longer text, only the lines
that are not plain ASCII are passed."""

_NO_FILE_CODECS = frozenset(
    ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "unicode_escape")
)
"""Codecs for domain names and source code."""
_SAMPLES = 16
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CONTROL_BYTES = bytes(code for code in range(128) if _CONTROL.match(chr(code)))
_ESCAPED = re.compile("[\udc80-\udcff]+")
_SHIFTS = re.compile(rb"\x1b[$(]")
"""Escape sequences that switch to another alphabet in seven-bit encodings such as ISO-2022-JP."""
_MISPLACED = re.compile(
    r"(?<=[a-z.,!?])[Ð-ÕÉ]|[Ð-Õ](?=[A-Z][a-z])|(?<=\s)[Ð-Õ](?=\s)"
    r"|(?<=[a-z])[•¾¿Ÿ¼½†‡ˆ‰Š‹ŒŽ](?=[a-z])"
)
"""Matches characters that are probably dashes, quotes and letters of Mac OS Roman, wrongly decoded
as Windows-1252: capital letters and symbols in places where they do not normally occur."""


class Encoding(NamedTuple):
    """The encoding of a file's text.

    Attributes:
        codec: Name of a Python codec.
        confidence: Confidence from 0 to 1; 1 if nothing had to be guessed.
        is_mended: Whether the text is UTF-8 with some invalid bytes, which are read as
            Windows-1252.
        has_glyphs: Whether to decode control characters as the symbols that DOS displayed for them
            (code page 437).
    """

    codec: str
    confidence: float = 1.0
    is_mended: bool = False
    has_glyphs: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether the encoding is known, or guessed with enough confidence to rely on."""
        return self.confidence >= LEAST_CONFIDENCE

    @property
    def is_cuttable(self) -> bool:
        """Whether a file can be split after newline bytes.

        This requires that a newline is a single byte, which is part of no other character.
        """
        return not self.codec.startswith(("utf-16", "utf-32")) and "\n".encode(self.codec) == b"\n"

    def __str__(self) -> str:
        """Return the codec's name, with the confidence if the codec was guessed."""
        if self.is_mended:
            return f"{self.codec} with bytes of cp1252"
        if self.confidence == 1.0:
            return self.codec
        doubt = "" if self.is_sure else ", not sure"
        return f"{self.codec}, {self.confidence:.0%}{doubt}"


def detect(path: Path, encoding: str, *, is_recipes: bool = False) -> Encoding:
    """Find the encoding of a file's text.

    Args:
        path: A local, unpacked file.
        encoding: Name of a Python codec, which is used as given, or `auto`. With `auto`, a
            byte-order mark decides. Without one, UTF-8 is tried first, and a few invalid bytes are
            tolerated; after that, the encodings that the package chardet guesses are tried.
        is_recipes: Whether the file is an export of the recipe program MealMaster. Its text is
            UTF-8 or else code page 437, since MealMaster is a DOS program.

    Raises:
        CorpusError: Python does not know the codec, or the bytes are not text in any encoding
            tried; the message names each encoding and the byte at which it failed.
    """
    if encoding != "auto":
        return Encoding(_codec_of_text(encoding), has_glyphs=is_recipes)
    origin = f"a sample of {path}" if path.stat().st_size > LOOKED_AT else str(path)
    return detect_bytes(_sample(path), origin, is_recipes=is_recipes)


def _codec_of_text(name: str) -> str:
    """Return the name of a Python codec that turns bytes into text.

    Raises:
        CorpusError: There is no such codec, or it is not meant for text files.
    """
    try:
        codec = codecs.lookup(name).name
        with suppress(UnicodeError):  # a single byte may not be a character
            b"\n".decode(codec)  # a `LookupError` if the codec is from bytes to bytes
        is_text = codec not in _NO_FILE_CODECS
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise CorpusError(
            f"{shorten(name)} is not an encoding of text that Python knows (expected one such as "
            "utf-8, cp1252 or shift_jis); set another with --set corpus.encoding=NAME"
        )
    return codec


def detect_bytes(data: bytes, origin: str = "this", *, is_recipes: bool = False) -> Encoding:
    """Find the encoding of some bytes; see `detect`.

    Raises:
        CorpusError: The bytes are not text in any encoding tried.
    """
    failures = []
    for candidate in _candidates(data, is_recipes):
        failure = _failure(data, candidate)
        if not failure:
            return candidate
        failures.append(f"{candidate.codec} ({failure})")
    raise CorpusError(
        f"{origin} is not text: tried {', '.join(failures[:4])}; save it as UTF-8, or set its "
        "encoding with --set corpus.encoding=NAME"
    )


def _failure(data: bytes, candidate: Encoding) -> str:
    """Check whether bytes are text in an encoding.

    Returns:
        An empty string if they are; otherwise which byte shows that they are not.
    """
    try:
        text = data.decode(candidate.codec, "replace" if candidate.is_mended else "strict")
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        return f"byte {position:,} is 0x{data[position : position + 1].hex()}"
    plain = data if candidate.codec == "utf-8" else text.encode("utf-8", "surrogatepass")
    controls = len(plain) - len(plain.translate(None, _CONTROL_BYTES))
    if candidate.has_glyphs or 100 * controls <= len(text):
        return ""
    before = _CONTROL.split(text, 1)[0]
    return f"control character at byte {len(before.encode(candidate.codec, 'replace')):,}"


def _candidates(data: bytes, is_recipes: bool) -> Iterator[Encoding]:
    for mark, codec in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            yield Encoding(codec)
            return
    if not _SHIFTS.search(data):
        yield Encoding("utf-8", has_glyphs=is_recipes)
    if is_recipes:
        yield Encoding("cp437", has_glyphs=True)
        return
    if not _is_shifted(data) and _is_mostly_utf8(data):
        yield Encoding("utf-8", is_mended=True)
        return
    yield from _guesses(data)
    yield Encoding("cp1252", 0.0)


def _is_shifted(data: bytes) -> bool:
    """Return whether bytes below 128 may encode characters other than ASCII.

    This is so in UTF-16, which has NUL bytes, and in encodings with escape sequences.
    """
    return b"\0" in data or _SHIFTS.search(data) is not None


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether most of the non-ASCII content of some bytes is valid UTF-8.

    At least four fifths of it must be valid. Each valid character counts once, and so does each
    run of invalid bytes.
    """
    text = data.decode("utf-8", "surrogateescape")
    bad = len(_ESCAPED.findall(text))
    others = sum(1 for _ in re.finditer("[^\x00-\x7f\udc80-\udcff]", text))
    return others >= 4 * bad


def _guesses(data: bytes) -> Iterator[Encoding]:
    """Yield the encodings that chardet guesses, the likeliest first, with some corrections.

    An ISO encoding is replaced with the similar Windows encoding if both decode the bytes equally.
    If the guess is Windows-1252 but the bytes look like Mac OS Roman, Mac OS Roman comes first.
    """
    import chardet

    judged = data[:JUDGED]
    if len(data) > JUDGED and not _is_shifted(data):
        judged = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[:JUDGED]
    for guess in chardet.detect_all(judged, ignore_threshold=True)[:3]:
        if not guess["encoding"]:
            continue
        codec = _windows(judged, codecs.lookup(guess["encoding"]).name)
        confidence = min(0.99, float(guess["confidence"]))
        if confidence < LEAST_EVIDENCE:
            yield Encoding("cp1252", confidence)
        if WINDOWS.get(codec, codec) == "cp1252" and _is_mac(judged):
            yield Encoding("mac-roman", confidence)
        yield Encoding(codec, confidence)


def _windows(data: bytes, codec: str) -> str:
    """Return the Windows encoding that decodes bytes as `codec` does; if there is none, `codec`."""
    larger = WINDOWS.get(codec)
    if larger is None:
        return codec
    is_same = data.decode(codec, "replace") == data.decode(larger, "surrogateescape")
    return larger if is_same else codec


def _is_mac(data: bytes) -> bool:
    """Return whether bytes that could be Windows-1252 are probably Mac OS Roman instead.

    They are if `_MISPLACED` matches often compared with the number of non-ASCII characters.
    """
    text = data.decode("cp1252", "replace")
    others = sum(not character.isascii() for character in text)
    return len(_MISPLACED.findall(text)) > 0.3 * others


def _sample(path: Path) -> bytes:
    """Return the bytes of a file; for a long file, samples of whole lines from all parts of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= LOOKED_AT:
            return file.read()
        pieces = []
        for number in range(_SAMPLES):
            file.seek(number * (size // _SAMPLES))
            piece = file.read(LOOKED_AT // _SAMPLES)
            start = 0 if number == 0 else piece.find(b"\n") + 1
            end = piece.rfind(b"\n") + 1
            pieces.append(piece[start : end or None])
        return b"".join(pieces)
