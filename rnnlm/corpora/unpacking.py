"""Unpack compressed files and archives, within limits on bytes, ratio, members and nesting.

A few kilobytes can unpack to any number of bytes. What an archive says about itself is checked
before anything is written, and what comes out of it is counted.
"""

import lzma
import shutil
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from rnnlm.config import shorten
from rnnlm.corpora.files import SourceFile, is_hidden
from rnnlm.corpora.recognition import recognize
from rnnlm.errors import CorpusError
from rnnlm.storage import atomic_path, value_digest

MOST_BYTES = 200_000_000_000
"""Most bytes that one file may unpack to."""
MOST_RATIO = 200
"""Most bytes that a packed byte may unpack to. Text rarely packs to less than a thirtieth."""
UNSUSPECTED_BYTES = 64_000_000
"""The ratio is ignored up to this many unpacked bytes."""
MOST_MEMBERS = 100_000
"""Most files in an archive."""
MOST_DIRECTORY_BYTES = 16_000_000
"""Most bytes of an archive's list of members, which is read into memory as a whole."""
LONGEST_NAME = 1000
"""Most characters of a member's path in an archive."""
LONGEST_PART = 200
"""Most bytes of the last part of that path, which the unpacked file is named after."""

PACKED = {".zip", ".gz", ".zst", ".bz2", ".lz4", ".xz", ".7z", ".rar", ".tar", ".tgz"}
"""Suffixes of packed files, which are refused inside other packed files."""
_COMPRESSED = {".gz", ".zst", ".bz2", ".lz4"}
_BLOCK = 1 << 20
_UNUSED_SECONDS = 86_400
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_END_SEARCHED = 66_000  # bytes of the record at the end of an archive with the longest comment
UNPACKING_ERRORS = (
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""What the libraries raise for a damaged file."""


def unpack(files: Sequence[SourceFile], scratch: Path) -> Iterator[SourceFile]:
    """Unpack files into the folder `scratch`, and decide how each is read.

    Yields a `SourceFile` for each file that is not packed or compressed, and for each member of an
    archive. A file that is already in `scratch` is not unpacked again.

    Raises:
        CorpusError: A file is not text; or an archive is cut short or broken, exceeds a limit,
            contains another archive, a repeated name, or a path outside itself.
        StorageError: `scratch` cannot be written.
    """
    for file in files:
        suffix = file.path.suffix.lower()
        if suffix == ".zip":
            yield from _unzip(file, scratch)
        elif suffix in _COMPRESSED:
            yield _decompress(file, scratch)
        else:
            yield _recognized(file, file.path.name)


def claim(files: Sequence[SourceFile], shared: Path, own: Path) -> None:
    """Move the files that were unpacked into the folder `shared` to the folder `own`.

    No other process uses `own`. Files that are not in `shared` or cannot be moved will simply be
    unpacked again.
    """
    for file in files:
        unpacked = _folder(file, shared)
        if unpacked.is_dir() and not _folder(file, own).exists():
            with suppress(OSError):
                own.mkdir(parents=True, exist_ok=True)
                unpacked.rename(_folder(file, own))


def remove_unused(shared: Path) -> None:
    """Remove files that were unpacked into a folder more than a day ago and never claimed."""
    for folder in shared.glob("*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _folder(file: SourceFile, scratch: Path) -> Path:
    return scratch / value_digest([str(file.path.resolve()), file.size, file.modified])[:16]


def _recognized(file: SourceFile, name: str) -> SourceFile:
    """Return an unpacked file with its encoding, its form and the settings to read it with."""
    file.check_unchanged()
    source, encoding, form, reason = recognize(file.path, name, file.source)
    return replace(file, source=source, encoding=encoding, form=form, reason=reason)


def _decompress(file: SourceFile, scratch: Path) -> SourceFile:
    name = file.path.name.removesuffix(file.path.suffix)
    _check_flat(file, name)
    target = _folder(file, scratch) / (name if name.strip(".") else "text")
    if not target.is_file():
        try:
            packed = pa.input_stream(str(file.path), compression="detect")
        except UNPACKING_ERRORS as error:
            raise _broken(file, error) from error
        with packed:
            _copy(packed.read, target, file, _Allowance(file))
    return _recognized(SourceFile.of(target, file.source, file.name), name)


def _unzip(file: SourceFile, scratch: Path) -> Iterator[SourceFile]:
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file.path)
    except UNPACKING_ERRORS as error:
        raise _broken(file, error) from error
    with closing(archive):
        members = sorted(
            (m for m in archive.infolist() if not m.is_dir()), key=lambda member: member.filename
        )
        _check_members(file, members)
        allowance = _Allowance(file)
        for number, member in enumerate(members):
            if is_hidden(PurePosixPath(member.filename)):
                continue
            # One folder per member: names may differ only by case, or be a folder of another name.
            target = _folder(file, scratch) / f"{number:06d}" / PurePosixPath(member.filename).name
            if not target.is_file():
                try:
                    packed = archive.open(member)
                except UNPACKING_ERRORS as error:  # encrypted, or an unknown compression method
                    raise _broken(file, error) from error
                with packed:
                    _copy(packed.read, target, file, allowance)
            name = f"{file.name}:{member.filename}"
            yield _recognized(SourceFile.of(target, file.source, name), member.filename)


def _check_directory(file: SourceFile) -> None:
    """Check the size of an archive's list of members, before the library reads it.

    Raises:
        CorpusError: It is longer than `MOST_DIRECTORY_BYTES`.
    """
    size = directory_bytes(file.path)
    if size > MOST_DIRECTORY_BYTES:
        raise CorpusError(
            f"{file.name} has a list of members of {size:,} bytes (expected at most "
            f"{MOST_DIRECTORY_BYTES:,}, or {MOST_MEMBERS:,} members); split the archive"
        )


def directory_bytes(path: Path) -> int:
    """Return the size in bytes that a zip archive states for its list of members; 0 if it has none.

    The library reads the whole list into memory when it opens the archive.
    """
    size = path.stat().st_size
    with path.open("rb") as opened:
        opened.seek(max(0, size - _END_SEARCHED))
        tail = opened.read()
    found = [0]
    for mark, offset, form in ((_END, 12, "<L"), (_END_64, 40, "<Q")):
        at = tail.rfind(mark)
        if at >= 0 and len(tail) >= at + offset + struct.calcsize(form):
            (stated,) = struct.unpack_from(form, tail, at + offset)
            found.append(stated if stated != 0xFFFFFFFF else 0)
    return max(found)


def _check_members(file: SourceFile, members: Sequence[zipfile.ZipInfo]) -> None:
    """Check what an archive says about its members, before anything is unpacked.

    Raises:
        CorpusError: There are too many members or bytes, or a name is unusable or repeated.
    """
    if len(members) > MOST_MEMBERS:
        raise CorpusError(
            f"{file.name} holds {len(members):,} files (expected at most {MOST_MEMBERS:,}); "
            "split the archive"
        )
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        shown = shorten(member.filename)
        if inside.is_absolute() or ".." in inside.parts or ":" in "".join(inside.parts[:1]):
            raise CorpusError(
                f"{file.name} holds a file named {shown}, which lies outside the archive; nothing "
                "was unpacked from it; create the archive again"
            )
        last = inside.name.encode("utf-8", "replace")
        if not last or len(last) > LONGEST_PART or len(member.filename) > LONGEST_NAME:
            raise CorpusError(
                f"{file.name} holds a file named {shown} (expected the path of a file, of at most "
                f"{LONGEST_NAME:,} characters, and {LONGEST_PART} bytes in its last part); create "
                "the archive again"
            )
        if not is_hidden(inside):
            _check_flat(file, member.filename)
    name, times = next(iter(Counter(m.filename for m in members).most_common(1)), ("", 0))
    if times > 1:
        raise CorpusError(
            f"{file.name} holds {times} files named {shorten(name)} (expected different names); "
            "create the archive again"
        )
    _Allowance(file).take(sum(member.file_size for member in members))


def _check_flat(file: SourceFile, name: str) -> None:
    if PurePosixPath(name).suffix.lower() in PACKED:
        raise CorpusError(
            f"{file.name} holds another packed file, {shorten(name)} (expected text); unpack it "
            "first"
        )


class _Allowance:
    """Counts the bytes that a packed file has been unpacked to."""

    def __init__(self, file: SourceFile) -> None:
        self._file, self._taken = file, 0

    def take(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            CorpusError: The total exceeds `MOST_BYTES` or `MOST_RATIO`.
        """
        self._taken += size
        most = max(UNSUSPECTED_BYTES, MOST_RATIO * self._file.size)
        if self._taken > min(most, MOST_BYTES):
            raise CorpusError(
                f"{self._file.name} has {self._file.size:,} bytes and unpacks to "
                f"{self._taken:,} or more (expected at most {min(most, MOST_BYTES):,}: "
                f"{MOST_RATIO} times as many); unpack it yourself if you trust it"
            )


def _copy(
    read: Callable[[int], bytes], target: Path, file: SourceFile, allowance: _Allowance
) -> None:
    """Copy the unpacked contents of a file to `target`, block by block.

    Args:
        read: Returns the next block, of at most as many bytes as its argument.
        target: Path to write to.
        file: The packed file, which the error names if `read` fails.
        allowance: Counts the bytes; updated.

    Raises:
        CorpusError: The packed file is cut short or broken, or unpacks to too many bytes.
    """
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        while True:
            try:
                block = read(_BLOCK)
            except UNPACKING_ERRORS as error:
                raise _broken(file, error) from error
            if not block:
                return
            allowance.take(len(block))
            out.write(block)


def _broken(file: SourceFile, error: BaseException) -> CorpusError:
    why = shorten(str(error) or type(error).__name__, 120)
    return CorpusError(f"{file.name} is cut short or broken ({why}); get the file again")
