"""From bytes to text: which encoding a file is in, found once and reported."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

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
WIDE_ENCODINGS = ("utf-16", "utf-32")
"""Encodings in which a line end is more than one byte, so that a file cannot be cut at bytes."""
LOOKED_AT = 16_000_000
"""Bytes of a file that are looked at to find its encoding; a longer one is sampled throughout."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SAMPLES = 16


def detect(path: Path, encoding: str) -> str:
    """Return the codec that a file's text is in.

    Args:
        path: A local, plain file.
        encoding: A Python codec, taken as it is, or `auto`: a byte-order mark decides, then UTF-8,
            then charset-normalizer among `LEGACY_ENCODINGS`.

    Raises:
        CorpusError: The bytes are no text in any encoding tried; each is named with the byte at
            which it failed.
    """
    if encoding != "auto":
        try:
            return codecs.lookup(encoding).name
        except LookupError as error:
            raise CorpusError(f"{encoding} is no encoding that Python knows") from error
    return _detect(_sample(path), str(path), path.stat().st_size > LOOKED_AT)


def decode(data: bytes, encoding: str, origin: str) -> str:
    """Turn bytes into text with newline line ends.

    Args:
        data: Whole characters in `encoding`.
        encoding: A Python codec, as `detect` returns it.
        origin: What to call the source in errors.

    Raises:
        CorpusError: A byte does not fit the encoding.
    """
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        raise CorpusError(
            f"{origin} is no {encoding} at byte {position:,} (0x{data[position]:02x}); "
            "name its encoding with --set corpus.encoding=NAME"
        ) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")


def _detect(data: bytes, origin: str, sampled: bool) -> str:
    failures = []
    for candidate in _candidates(data):
        try:
            text = data.decode(candidate)
        except UnicodeError as error:
            position = getattr(error, "start", 0)
            failures.append(f"{candidate} (byte {position:,} is 0x{data[position]:02x})")
            continue
        control = _CONTROL.search(text)
        if control and _is_binary(text):
            position = len(text[: control.start()].encode(candidate))
            failures.append(f"{candidate} (control character at byte {position:,})")
            continue
        return candidate
    where = " in a sample of it" if sampled else ""
    raise CorpusError(
        f"{origin} is no text: tried {', '.join(failures[:4])}{where}; save it as UTF-8, or name "
        "its encoding with --set corpus.encoding=NAME"
    )


def _is_binary(text: str) -> bool:
    """Return whether control characters are so many that this is no text with a few bad bytes."""
    return 100 * len(_CONTROL.findall(text)) > len(text)


def _candidates(data: bytes) -> Iterator[str]:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            yield encoding
            return
    yield "utf-8"
    from charset_normalizer import from_bytes

    likely = sorted(
        from_bytes(data[: 1 << 20], cp_isolation=LEGACY_ENCODINGS),
        key=lambda match: (match.chaos, -match.coherence, LEGACY_ENCODINGS.index(match.encoding)),
    )
    yield from dict.fromkeys([*(match.encoding for match in likely[:1]), *LEGACY_ENCODINGS[:2]])


def _sample(path: Path) -> bytes:
    """Return a file's bytes, or pieces from all over a long one, cut at line ends."""
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
