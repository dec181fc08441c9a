import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from flows.runtime import tables
from flows.runtime.tables.record import migrated


@pytest.mark.slow
@pytest.mark.parametrize("package", ["prefect", "mlflow"])
def test_the_recorded_tables_are_those_that_migrations_create(package: str):
    recorded = tables.recording(package)
    assert recorded.is_file(), "the version changed: run `make tables`"
    assert parts(migrated(package)) == parts(recorded.read_text("utf-8"))


def parts(sql: str) -> list[str]:
    """Return the lines, sorted, because migrations order the constraints of a table at random."""
    return sorted(line.strip().rstrip(",") for line in sql.splitlines())


@pytest.mark.parametrize("package", ["prefect", "mlflow"])
def test_a_new_database_has_the_tables_and_is_private(tmp_path: Path, package: str):
    database = tmp_path / "new.db"
    assert tables.create(database, package)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [database]
    with closing(sqlite3.connect(database)) as connection:
        made = "".join(f"{line}\n" for line in connection.iterdump())
    assert made == tables.recording(package).read_text("utf-8")


def test_an_existing_database_is_left_alone(tmp_path: Path):
    database = tmp_path / "old.db"
    database.write_bytes(b"mine")
    assert not tables.create(database, "mlflow")
    assert database.read_bytes() == b"mine"


def test_without_a_recording_the_migrations_are_left_to_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables.metadata, "version", lambda _: "0.0")
    assert not tables.create(tmp_path / "new.db", "prefect")
    assert [*tmp_path.iterdir()] == []


def test_tables_of_another_version_are_not_current(tmp_path: Path):
    database = tmp_path / "some.db"
    assert not tables.is_current(database, "mlflow")
    assert tables.create(database, "mlflow")
    assert tables.is_current(database, "mlflow")
    assert not tables.is_current(database, "prefect")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
    assert not tables.is_current(database, "mlflow")
    database.write_bytes(b"no database")
    assert not tables.is_current(database, "mlflow")
