"""The databases of a new home, created from recorded SQL.

Prefect and MLflow create their tables by running years of migrations, which takes ten seconds.
The result depends only on their versions, so it is recorded once, by `python -m
flows.runtime.tables.record`, as `PACKAGE-VERSION.sql` in this folder. For a version without a
recording, the migrations run as usual.
"""

import re
import sqlite3
from contextlib import closing
from importlib import metadata
from pathlib import Path

from rnnlm.storage import atomic_path


def recording(package: str) -> Path:
    """Return the path of the recorded SQL for the installed version of `prefect` or `mlflow`."""
    return Path(__file__).with_name(f"{package}-{metadata.version(package)}.sql")


def create(database: Path, package: str) -> bool:
    """Create a SQLite database with the tables of a package, whole or not at all.

    Hold the lock of the database: `locks.prefect_start` or `locks.mlflow_tables`.

    Args:
        database: Path of the database.
        package: `prefect` or `mlflow`.

    Returns:
        Whether the database was created. It is not if it exists, or if the installed version of
        the package has no recording.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    recorded = recording(package)
    if database.exists() or not recorded.is_file():
        return False
    with atomic_path(database) as temporary:
        temporary.touch(mode=0o600)
        with closing(sqlite3.connect(temporary)) as connection:
            connection.executescript(recorded.read_text("utf-8"))
    return True


def is_current(database: Path, package: str) -> bool:
    """Return whether a SQLite database has the tables of the installed version of a package.

    If the version has no recording, this is not known, and the result is False.

    Args:
        database: Path of the database.
        package: `prefect` or `mlflow`.
    """
    recorded = recording(package)
    if not database.is_file() or not recorded.is_file():
        return False
    expected = re.search(r"INSERT INTO \"alembic_version\" VALUES\('(\w+)'\)", recorded.read_text())
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return False
    return expected is not None and found == [(expected[1],)]
