"""Find out whether a SQLite database file is damaged, and copy one while others use it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from rnnlm.errors import StorageError
from rnnlm.storage import atomic_path

CHECKED_BYTES = 64_000_000
"""Files up to this size are checked as a whole at the start of each command, which takes up to 50
milliseconds (docs/experiments.md, 2026-11-30). For larger files, only the header is checked."""
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100


def fault_of(path: Path, *, thorough: bool = False) -> str | None:
    """Return in a few words how a database file is damaged, or None if it is not.

    A locked file counts as sound, and so does an empty or missing one.

    Args:
        path: The file.
        thorough: Whether to check the whole file even if it is large.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
        return "it is not a SQLite database"
    if size > CHECKED_BYTES and not thorough:
        return _is_cut(path, header, size)
    try:
        with _reading(path) as connection:
            (answer,) = connection.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        return None if _is_busy(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else " ".join(str(answer).replace("*", "").split())[:80]


def check(path: Path) -> None:
    """Check that a database that can be replaced by a new one is not damaged.

    Raises:
        StorageError: It is damaged; the message names the command that puts it aside.
    """
    if fault := fault_of(path):
        raise StorageError(f"{path} is damaged: {fault}; `rnnlm doctor --repair` puts it aside")


def copy(source: Path, to: Path) -> None:
    """Copy a database while other processes may be using it.

    The copy holds the state after some transaction. The file appears only once it is complete.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
        sqlite3.DatabaseError: The source is damaged or remains locked.
    """
    with atomic_path(to) as temporary:
        temporary.touch(mode=0o600)
        with _reading(source) as ours, contextlib.closing(sqlite3.connect(temporary)) as theirs:
            try:
                ours.backup(theirs)
            except sqlite3.OperationalError as error:
                if "disk" in str(error) and not _is_busy(error):
                    raise OSError(str(error)) from error  # atomic_path says what to do
                raise


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    # Not opened read-only, or SQLite could not roll back what a killed process left half-written.
    connection = sqlite3.connect(path, timeout=10.0)
    with contextlib.closing(connection):
        yield connection


def _is_busy(error: sqlite3.OperationalError) -> bool:
    said = str(error)
    return "locked" in said or "readonly" in said or "unable to open" in said


def _is_cut(path: Path, header: bytes, size: int) -> str | None:
    """Return a message if a file is shorter than the number of pages in its header says."""
    if any(path.with_name(path.name + end).exists() for end in ("-journal", "-wal")):
        return None  # the header may be older or newer than the file
    page = int.from_bytes(header[16:18], "big")
    expected = (65_536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    is_current = header[24:28] == header[92:96]  # else a version before 3.7 wrote the file
    if is_current and size < expected:
        return f"it is truncated: {size:,} of {expected:,} bytes"
    return None
