"""Write files so that each is either complete or absent, and compute sha256 digests."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnlm.errors import StorageError


def is_address(path: str) -> bool:
    """Return whether a path is an address, such as `s3://bucket/texts`, and not a local path."""
    protocol, separator, _ = path.partition("://")
    return bool(separator) and protocol.replace("+", "").isalnum()


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def is_temporary(path: Path) -> bool:
    """Return whether a file has a name that `atomic_path` gives to files until they are complete.

    If no process is writing it, a process was killed while it wrote it.
    """
    return _TEMPORARY.fullmatch(path.name) is not None and path.is_file()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` on success, remove it on failure.

    The file is flushed to disk before it is renamed, so that a reader sees the old content or the
    new, never a part, even after a power cut. Parent folders are created.

    Raises:
        StorageError: The disk is full or the folder cannot be written; `path` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file; create the file and its folders if needed.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _cannot_write(path, error) from error


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, digest: str) -> bool:
    """Return whether a file exists, can be read, and has this sha256."""
    try:
        return path.is_file() and file_digest(path) == digest
    except OSError:
        return False


def value_digest(value: Any) -> str:
    """Return the sha256, in hexadecimal, of a JSON-able value; key order does not matter."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror or error} (any previous content is intact); "
        "free some space or choose another folder, then run the same command again"
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
