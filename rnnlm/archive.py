"""Write several files as one zip archive with their digests, and read such an archive safely.

The archive holds `manifest.json`, which lists the size and the sha256 of every other file. An
archive may come from anybody. So nothing but the listed files is unpacked, each to at most its
listed size, under names that the caller allows; and everything is compared with its digest.
"""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Protocol

from annotated_types import Ge, MaxLen
from pydantic import BaseModel, ConfigDict

from rnnlm.checksums import sealed, unsealed
from rnnlm.config import shorten
from rnnlm.corpora.unpacking import MOST_DIRECTORY_BYTES, UNPACKING_ERRORS, directory_bytes
from rnnlm.errors import DamagedFileError, StorageError
from rnnlm.saved import checked, parse_json
from rnnlm.storage import atomic_path

MANIFEST = "manifest.json"
MOST_FILES = 10_000
MOST_BYTES = 200_000_000_000
"""Most bytes that the files of an archive may have together."""
MOST_TEXT_BYTES = 64_000_000
"""Most bytes of a file that is read into memory."""
_LONGEST_NAME = 300
_PACKED_WELL = {".json", ".html", ".md", ".txt", ".svg", ".csv", ".jsonl"}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same files give the same archive
_BLOCK = 1 << 20
_MEND = "export the model again, or copy the archive again"


class _Listed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    bytes: Annotated[int, Ge(0)]
    sha256: Annotated[str, MaxLen(64)]


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    files: dict[str, _Listed]


class _Sink(Protocol):
    def write(self, block: bytes, /) -> Any: ...


def write(path: Path, form: str, files: Mapping[str, Path | bytes]) -> None:
    """Write an archive, whole or not at all. The same files always give the same bytes.

    Args:
        path: Path of the archive.
        form: Name and number of the format of the contents, which `Archive` compares.
        files: Contents, or path of the contents, of each file, by its name in the archive.

    Raises:
        StorageError: The archive cannot be written; any previous content is intact.
    """
    listed = {}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            size, digest = 0, hashlib.sha256()
            with _blocks(files[name]) as blocks, _member(archive, name) as out:
                for block in blocks:
                    out.write(block)
                    digest.update(block)
                    size += len(block)
            listed[name] = {"bytes": size, "sha256": digest.hexdigest()}
        manifest = sealed({"format": form, "files": listed})
        with _member(archive, MANIFEST) as out:
            out.write((json.dumps(manifest, indent=2) + "\n").encode())


@dataclass(frozen=True)
class Archive:
    """An archive whose manifest has been read and checked.

    Attributes:
        path: Path of the archive.
        files: Size in bytes and sha256 of each file, by name.
    """

    path: Path
    files: Mapping[str, _Listed]

    @classmethod
    def open(cls, path: Path, form: str, names: re.Pattern[str]) -> "Archive":
        """Read the manifest of an archive; nothing is unpacked.

        Args:
            path: Path of the archive.
            form: Format that the contents must have.
            names: What the whole name of each file must match.

        Raises:
            DamagedFileError: It is missing, damaged, too large, of another format, or lists a file
                of another name.
        """
        with _zip(path) as archive:
            there = [member.filename for member in archive.infolist()]
            if there.count(MANIFEST) != 1:
                raise _damaged(path, f"it holds no {MANIFEST}")
            content = _read(archive, path, MANIFEST, MOST_TEXT_BYTES)
        try:
            known = unsealed(parse_json(content, dict[str, Any]))
            if known is None:
                raise ValueError(f"{MANIFEST} does not match its own digest")  # noqa: TRY301
            manifest: _Manifest = checked(known, _Manifest)
        except ValueError as error:
            raise _damaged(path, str(error)) from error
        if manifest.format != form:
            raise DamagedFileError(
                f"{path} has the format {shorten(manifest.format)} (expected {form}); "
                "update rnnlm, or export the model again with this version"
            )
        listed = manifest.files
        if len(listed) > MOST_FILES:
            raise _damaged(path, f"it lists {len(listed):,} files, expected at most {MOST_FILES:,}")
        for name in listed:
            if len(name) > _LONGEST_NAME or not names.fullmatch(name) or ".." in name.split("/"):
                raise _damaged(path, f"a file named {shorten(name)} does not belong in it")
            if there.count(name) != 1:
                raise _damaged(path, f"it holds {there.count(name)} files {shorten(name)}")
        if (total := sum(file.bytes for file in listed.values())) > MOST_BYTES:
            raise _damaged(path, f"it lists {total:,} bytes, expected at most {MOST_BYTES:,}")
        return cls(path, listed)

    def read(self, name: str, shape: Any) -> Any:
        """Return the value of a JSON file, after comparing it with its digest and its shape.

        Args:
            name: Name of the file.
            shape: Type that the value must have, in the notation of type annotations.

        Raises:
            DamagedFileError: The file is missing, damaged, too large, or of another shape.
        """
        try:
            return parse_json(self.read_bytes(name), shape)
        except ValueError as error:
            raise _damaged(self.path, f"{name}: {error}") from error

    def read_bytes(self, name: str) -> bytes:
        """Return the contents of a small file, after comparing them with their digest.

        Raises:
            DamagedFileError: The file is missing, damaged, or too large.
        """
        listed = self.files.get(name)
        if listed is None:
            raise _damaged(self.path, f"it holds no {name}")
        if listed.bytes > MOST_TEXT_BYTES:
            raise _damaged(self.path, f"{name} has {listed.bytes:,} bytes")
        with _zip(self.path) as archive:
            content = _read(archive, self.path, name, listed.bytes)
        if hashlib.sha256(content).hexdigest() != listed.sha256:
            raise _damaged(self.path, f"{name} does not match its digest")
        return content

    def unpack(self, folder: Path) -> None:
        """Unpack all files into a folder, and compare each with its size and its digest.

        Raises:
            DamagedFileError: A file is damaged; what was unpacked before it is left in the folder.
            StorageError: The disk is too small, or the folder cannot be written.
        """
        needed = sum(file.bytes for file in self.files.values())
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise StorageError(
                f"{self.path} unpacks to {needed:,} bytes, but the disk of {folder} has {free:,} "
                "free; free some space"
            )
        with _zip(self.path) as archive:
            for name, listed in self.files.items():
                digest = hashlib.sha256()
                with atomic_path(folder / name) as temporary, temporary.open("wb") as out:
                    _copy(archive, self.path, name, listed.bytes, (out, digest))
                    out.flush()
                if digest.hexdigest() != listed.sha256:
                    (folder / name).unlink()
                    raise _damaged(self.path, f"{name} does not match its digest")


class _Hash(Protocol):
    def update(self, block: bytes, /) -> None: ...


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if directory_bytes(path) > MOST_DIRECTORY_BYTES:
            raise ValueError("its list of files is too long")
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise DamagedFileError(f"no file {path}; check the path") from error
    except UNPACKING_ERRORS as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    with archive:
        yield archive


def _read(archive: zipfile.ZipFile, path: Path, name: str, most: int) -> bytes:
    blocks: list[bytes] = []
    for block in _stream(archive, path, name, most):
        blocks.append(block)  # noqa: PERF402
    return b"".join(blocks)


def _copy(
    archive: zipfile.ZipFile, path: Path, name: str, most: int, to: tuple[IO[bytes], _Hash]
) -> None:
    for block in _stream(archive, path, name, most):
        to[0].write(block)
        to[1].update(block)


def _stream(archive: zipfile.ZipFile, path: Path, name: str, most: int) -> Iterator[bytes]:
    """Yield the contents of a member in blocks.

    Raises:
        DamagedFileError: It cannot be read, or has more than `most` bytes.
    """
    taken = 0
    try:
        member = archive.open(name)
    except UNPACKING_ERRORS as error:  # encrypted, or an unknown compression method
        raise _damaged(path, str(error) or type(error).__name__) from error
    with member:
        while True:
            try:
                block = member.read(_BLOCK)
            except UNPACKING_ERRORS as error:
                raise _damaged(path, str(error) or type(error).__name__) from error
            if not block:
                return
            taken += len(block)
            if taken > most:
                raise _damaged(path, f"{shorten(name)} has more than its {most:,} bytes")
            yield block


@contextmanager
def _blocks(source: Path | bytes) -> Iterator[Iterator[bytes]]:
    if isinstance(source, bytes):
        yield iter([source])
        return
    with source.open("rb") as file:
        yield iter(lambda: file.read(_BLOCK), b"")


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[_Sink]:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.external_attr = 0o644 << 16
    is_text = Path(name).suffix in _PACKED_WELL
    info.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    with archive.open(info, "w", force_zip64=True) as out:
        yield out


def _damaged(path: Path, why: str) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged or no archive of a model: {why}; {_MEND}")
