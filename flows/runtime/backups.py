"""Backups of MLflow's database in `mlruns/backups/`, made before and after each registration.

They protect only the SQLite database of a home; a database server has backups of its own.
"""

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from flows.runtime import sqlite_files
from flows.runtime.home import Home, make_private
from rnnlm.errors import StorageError

FOLDER = "backups"
KEPT = 5
KEPT_BYTES = 1_000_000_000
"""At most `KEPT` backups are kept, and of those, the newest that together take at most this many
bytes; the newest one is always kept."""
REPAIR = "rnnlm doctor --repair"


def database(home: Home) -> Path | None:
    """Return the path of the SQLite database that is MLflow's store; None if it is on a server."""
    address = home.tracking_uri
    return Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite:///") else None


def backups(file: Path) -> list[Path]:
    """Return the backups of a database, newest first."""
    return sorted((file.parent / FOLDER).glob(f"{file.stem}-*.db"), reverse=True)


def fault_of(file: Path, *, thorough: bool = False) -> str | None:
    """Return in a few words what is wrong with a database, or None.

    Unlike a new one, a database that has backups must exist and must not be empty.

    Args:
        file: The database.
        thorough: Whether to check the whole file even if it is large.
    """
    if not file.is_file():
        return "it is missing, but has backups" if backups(file) else None
    if file.stat().st_size == 0:
        return "it is empty, but has backups" if backups(file) else None
    return sqlite_files.fault_of(file, thorough=thorough)


def check(file: Path) -> None:
    """Check that a database can be used.

    Raises:
        StorageError: It is damaged; the message names the command that restores it.
    """
    fault = fault_of(file)
    if fault:
        raise damaged(file, fault)


def damaged(file: Path, fault: str) -> StorageError:
    """Return the error that says that a database is damaged and how to restore it."""
    known = backups(file)
    how = (
        f"restores the backup of {when(known[0])}" if known else "puts it aside; there is no backup"
    )
    return StorageError(f"{file} is damaged: {fault}; `{REPAIR}` {how}")


def back_up(home: Home) -> Path | None:
    """Back up MLflow's database and remove old backups.

    Nothing is done if the database has not changed since the last backup, or if it is not a SQLite
    file or does not exist yet.

    Returns:
        The new backup, or None.

    Raises:
        StorageError: The database is damaged, or the backup cannot be written.
    """
    file = database(home)
    if file is None or not file.is_file() or not file.stat().st_size:
        return None
    if fault := fault_of(file, thorough=True):
        raise damaged(file, fault)
    known = backups(file)
    changed = file.stat().st_mtime_ns
    if known and known[0].stat().st_mtime_ns == changed:
        return None
    make_private(file.parent / FOLDER)
    new = file.parent / FOLDER / f"{file.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z.db"
    try:
        sqlite_files.copy(file, new)
    except sqlite3.Error as error:
        raise StorageError(f"cannot back up {file}: {error}; run the same command again") from error
    os.utime(new, ns=(changed, changed))  # which database this is a backup of
    _prune(file)
    return new


def restore(file: Path) -> str:
    """Put a damaged database aside and put the newest sound backup in its place.

    Without a sound backup, the place is left empty, so that the next command creates a database.

    Returns:
        What was done, in one line.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    sound = next(
        (one for one in backups(file) if not sqlite_files.fault_of(one, thorough=True)), None
    )
    said = "put aside; there is no backup: train again to register the models"
    for end in ("", "-journal", "-wal", "-shm"):
        part = file.with_name(file.name + end)
        if part.exists():
            part.replace(aside.with_name(aside.name + end))
    if sound is not None:
        sqlite_files.copy(sound, file)
        said = f"restored the backup of {when(sound)}; train again to register later versions"
    return said


def when(backup: Path) -> str:
    """Return the time of a backup, such as `2026-11-30 05:56 UTC`."""
    stamp = backup.stem.rpartition("-")[2]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:13]} UTC"


def _prune(file: Path) -> None:
    """Remove old backups."""
    total = 0
    for number, backup in enumerate(backups(file)):
        total += backup.stat().st_size
        if number and (number >= KEPT or total > KEPT_BYTES):
            backup.unlink(missing_ok=True)
