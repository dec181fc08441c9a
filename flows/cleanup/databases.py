"""Return free space within SQLite files to the disk, while no other process is using them.

SQLite keeps the space of deleted rows in its file, as free space, until the file is rewritten.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from flows.cleanup.rules import Leftover
from flows.runtime import locks
from flows.runtime.home import Home

FEWEST_FREE_BYTES = 1_000_000
FEWEST_FREE_SHARE = 0.2
"""A file is rewritten only if at least this many bytes, and this share of it, are free space."""
PATIENCE_SECONDS = 2.0  # longest wait for another process that is writing to the database


@dataclass(frozen=True)
class Compacted:
    """The result of rewriting a database file without its free space.

    Attributes:
        path: The file.
        before: Size in bytes before.
        after: Size in bytes after.
        note: Why the file was not rewritten; empty if it was.
    """

    path: Path
    before: int
    after: int
    note: str = ""


def slack(home: Home) -> Iterator[Leftover]:
    """Yield the databases of a home (Prefect's and MLflow's) that are worth rewriting."""
    for path in _databases(home):
        free = _free_bytes(path)
        size = path.stat().st_size
        if free >= FEWEST_FREE_BYTES and free >= FEWEST_FREE_SHARE * size:
            what = str(path.relative_to(home.root))
            why = f"{free / size:.0%} of it is free space"
            yield Leftover("database", "", what, free, 0.0, why, path)


def compact(home: Home, path: Path) -> Compacted:
    """Rewrite a database file without its free space, unless another process is using it.

    Meanwhile, locks keep servers from starting on the file and processes from creating tables in
    it.

    Args:
        home: Home that the database belongs to.
        path: The file.
    """
    before = _size(path)
    if shutil.disk_usage(path.parent).free < 2 * before:
        return Compacted(path, before, before, "the disk is too full to rewrite it")
    is_prefect = path.parent == home.prefect
    lock = locks.prefect_start(home) if is_prefect else locks.mlflow_tables(home.mlruns)
    try:
        with FileLock(lock, timeout=0):
            connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
            with contextlib.closing(connection):
                connection.execute("vacuum")
                connection.execute("pragma wal_checkpoint(truncate)")
    except (Timeout, sqlite3.OperationalError) as error:
        why = "another process is using it" if isinstance(error, Timeout) else str(error)
        return Compacted(path, before, _size(path), why)
    return Compacted(path, before, _size(path))


def _databases(home: Home) -> list[Path]:
    paths = [home.prefect / "prefect.db", home.mlruns / "mlflow.db"]
    return [path for path in paths if path.is_file()]


def _free_bytes(path: Path) -> int:
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as c:
            (pages,) = c.execute("pragma freelist_count").fetchone()
            (size,) = c.execute("pragma page_size").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(pages * size)


def _size(path: Path) -> int:
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.is_file() else 0)
