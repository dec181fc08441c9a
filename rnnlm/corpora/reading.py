"""From bytes to documents: finding the encoding, and cutting a text into lines or passages."""

import codecs
import hashlib
import re
from collections.abc import Iterator

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
_SENTENCE_END = re.compile(r"(?<=[.!?…。])[\"'”’)]*\s+")


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

    Where a passage ends depends on the hash of its last paragraph, not on a running count, so that
    an edit changes the passages around it and leaves the rest of the text cut as it was. A
    paragraph much longer than a passage is cut at line ends, sentence ends or spaces.
    """
    gathered: list[str] = []
    size = 0
    for paragraph in _paragraphs(text, characters):
        gathered.append(paragraph)
        size += len(paragraph) + 2
        mean = max(1.0, characters / max(1, len(paragraph) + 2))
        ends_here = _unit_hash(paragraph) < 2.0 / mean
        if size >= 2 * characters or (size >= characters / 2 and ends_here):
            yield "\n\n".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "\n\n".join(gathered)


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


def _paragraphs(text: str, characters: int) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        stripped = paragraph.strip("\n").rstrip()
        if not stripped.strip():
            continue
        if len(stripped) <= 2 * characters:
            yield stripped
        else:
            yield from _pieces(stripped, characters)


def _pieces(paragraph: str, characters: int) -> Iterator[str]:
    """Cut an overlong paragraph at the best places there are, each piece within `characters`."""
    for pattern in (re.compile(r"\n"), _SENTENCE_END, re.compile(r"\s+")):
        parts = pattern.split(paragraph)
        if max(len(part) for part in parts) <= 2 * characters:
            yield from (part for part in parts if part.strip())
            return
    for start in range(0, len(paragraph), characters):
        yield paragraph[start : start + characters]


def _unit_hash(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
