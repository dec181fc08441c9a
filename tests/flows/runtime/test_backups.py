"""Test the backups of MLflow's database: when they are made, and how many are kept."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from flows.runtime import backups, sqlite_files
from flows.runtime.home import Home
from rnnlm.errors import StorageError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "mlruns").mkdir()
    change(Home(tmp_path))
    return Home(tmp_path)


def change(home: Home) -> None:
    """Change the database, or create it."""
    with contextlib.closing(sqlite3.connect(home.mlruns / "mlflow.db")) as connection:
        connection.execute("create table if not exists notes (text)")
        connection.execute("insert into notes values (hex(randomblob(4000)))")
        connection.commit()


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select count(*) from notes").fetchone()[0])


def test_a_backup_is_made_only_if_the_database_has_changed(home):
    first = backups.back_up(home)
    assert first is not None
    assert rows(first) == 1
    assert backups.back_up(home) is None
    change(home)
    second = backups.back_up(home)
    assert second is not None
    assert backups.backups(home.mlruns / "mlflow.db") == [second, first]


def test_the_newest_backups_are_kept(home, monkeypatch):
    for _ in range(backups.KEPT + 2):
        change(home)
        backups.back_up(home)
    kept = backups.backups(home.mlruns / "mlflow.db")
    assert len(kept) == backups.KEPT
    assert rows(kept[0]) == rows(home.mlruns / "mlflow.db")
    monkeypatch.setattr(backups, "KEPT_BYTES", 1)
    change(home)
    backups.back_up(home)
    assert len(backups.backups(home.mlruns / "mlflow.db")) == 1


def test_backups_are_private(home):
    backup = backups.back_up(home)
    assert backup is not None
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.parent.stat().st_mode & 0o777 == 0o700


def test_a_damaged_database_is_never_backed_up_over_a_sound_one(home):
    sound = backups.back_up(home)
    database = home.mlruns / "mlflow.db"
    database.write_bytes(database.read_bytes()[:4096])
    with pytest.raises(StorageError, match="doctor --repair"):
        backups.back_up(home)
    assert backups.backups(database) == [sound]


def test_a_backup_is_whole_while_another_process_writes(home):
    with contextlib.closing(sqlite3.connect(home.mlruns / "mlflow.db")) as writer:
        writer.execute("begin immediate")
        writer.execute("insert into notes values ('not committed')")
        backup = backups.back_up(home)
    assert backup is not None
    assert rows(backup) == 1


def test_a_large_truncated_database_is_recognised_by_its_header(home, monkeypatch):
    database = home.mlruns / "mlflow.db"
    monkeypatch.setattr(sqlite_files, "CHECKED_BYTES", 0)
    assert sqlite_files.fault_of(database) is None
    database.write_bytes(database.read_bytes()[:-4096])
    assert "truncated" in str(sqlite_files.fault_of(database))


def test_what_a_killed_process_left_half_written_is_rolled_back_not_called_damage(home):
    """A journal next to the file belongs to a transaction that SQLite rolls back on opening."""
    database = home.mlruns / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("pragma cache_size = 1")
        writer.execute("begin")
        writer.execute("insert into notes select hex(randomblob(4000)) from notes, notes, notes")
        for _ in range(6):
            writer.execute("insert into notes select hex(randomblob(4000)) from notes")
        torn, journal = database.read_bytes(), Path(f"{database}-journal").read_bytes()
        writer.rollback()
    database.write_bytes(torn)
    Path(f"{database}-journal").write_bytes(journal)
    assert sqlite_files.fault_of(database, thorough=True) is None
    assert rows(database) == 1
