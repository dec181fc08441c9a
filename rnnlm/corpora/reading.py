"""From bytes to documents: finding the encoding, and cutting a text into lines or passages."""

import codecs
import hashlib
import re
from collections.abc import Iterator, Sequence

from charset_normalizer import from_bytes

from rnnlm.errors import CorpusError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LEGACY_ENCODINGS = ["cp1252", "cp437", "cp850", "cp1250", "cp1251", "koi8_r"]
LEGACY_ENCODINGS += ["shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]
"""What an unmarked text that is not UTF-8 is tried as; among equally likely ones, the first."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_BREAKS = (
    _PARAGRAPH_END,
    re.compile(r"\n"),
    re.compile(r"[.!?…。][\"'”’)]*\s+"),
    re.compile(r"\s+"),
)
"""Where a text may be cut, best places first; the cut is behind the match."""


def decode(data: bytes, encoding: str, origin: str) -> tuple[str, str]:
    """Turn bytes into text with newline line ends, and say which encoding they were in.

    Args:
        data: The file's bytes.
        encoding: A Python codec, or `auto`: a byte-order mark decides, then UTF-8, then
            charset-normalizer among `LEGACY_ENCODINGS`.
        origin: What to call the source in errors.

    Raises:
        CorpusError: The bytes are no text in any encoding tried; each is named with the byte at
            which it failed.
    """
    failures = []
    for candidate in [encoding] if encoding != "auto" else _candidates(data):
        try:
            text = data.decode(candidate)
        except LookupError as error:
            raise CorpusError(f"{candidate} is no encoding that Python knows") from error
        except UnicodeError as error:
            position = getattr(error, "start", 0)
            failures.append(f"{candidate} (byte {position} is 0x{data[position]:02x})")
            continue
        if control := _CONTROL.search(text):
            position = len(text[: control.start()].encode(candidate))
            failures.append(f"{candidate} (control character at byte {position})")
            continue
        return text.replace("\r\n", "\n").replace("\r", "\n"), candidate
    tried = ", ".join(failures[:4])
    raise CorpusError(
        f"{origin} is no text: tried {tried}; save it as UTF-8, or name its encoding with "
        "--set corpus.encoding=NAME"
    )


def lines(text: str) -> Iterator[str]:
    """Yield the lines of `text` without their ends, leaving out blank ones."""
    return (line.rstrip() for line in text.split("\n") if line.strip())


def passages(text: str, characters: int) -> Iterator[str]:
    """Yield passages of about `characters` characters that end where a paragraph ends.

    Passages are slices of the text: nothing between their first and last visible character is
    changed. Where one ends depends on the hash of its last paragraph, not on a running count, so
    that an edit changes the passages around it and leaves the rest cut as it was. A paragraph much
    longer than a passage is cut at line ends, sentence ends or spaces.
    """
    gathered: list[str] = []
    size = 0
    for piece in _pieces(text, 2 * characters, _BREAKS):
        gathered.append(piece)
        size += len(piece)
        ends_here = _unit_hash(piece) < 2.0 * len(piece) / characters
        if size >= 2 * characters or (size >= characters / 2 and ends_here):
            yield from _visible("".join(gathered))
            gathered, size = [], 0
    yield from _visible("".join(gathered))


def _candidates(data: bytes) -> Iterator[str]:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            yield encoding
            return
    yield "utf-8"
    likely = sorted(
        from_bytes(data[: 1 << 20], cp_isolation=LEGACY_ENCODINGS),
        key=lambda match: (match.chaos, -match.coherence, LEGACY_ENCODINGS.index(match.encoding)),
    )
    yield from [likely[0].encoding] if likely else LEGACY_ENCODINGS[:2]


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
