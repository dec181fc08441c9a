"""Test `rnnlm doctor`: it finds damage, and repairs what can be repaired."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.chain import records
from flows.chain.records import RECORD_FILE, Step
from flows.runtime import backups, tables
from flows.runtime.home import Home
from flows.tracking import CHECKPOINT_TAG, connect
from rnnlm.storage import file_digest, write_json
from tests.conftest import Finished, call_cli, fork_cli


class Made(BaseModel):
    digest: str


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for package, folder in (("mlflow", home.mlruns), ("prefect", home.prefect)):
        folder.mkdir(mode=0o700, parents=True)
        tables.create(folder / f"{package}.db", package)
    return home


def flip(path: Path) -> None:
    """Flip one bit of a file, and restore its modification time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_step(home: Home, kind: str, name: str = "result.bin") -> Path:
    """Do a step that writes one file; return the path of the file."""
    step = Step("make", 1, {}, Made, home.data / kind / "toy")
    with records.attempt(step) as attempt:
        attempt.folder.mkdir(parents=True)
        path = attempt.folder / name
        path.write_bytes(bytes(range(256)) * 20)
        attempt.result = Made(digest=file_digest(path))
    return path


def states(finished: Finished) -> dict[str, str]:
    """Return the state of each subject: `problem` if it has any."""
    found: dict[str, str] = {}
    for row in finished.json["checks"]:
        if found.get(row["subject"]) != "problem":
            found[row["subject"]] = row["state"]
    return found


def test_a_sound_home_has_no_problem(home):
    make_step(home, "tokens")
    finished = call_cli(home.root, "doctor", "--json")
    assert finished.status == 0
    assert set(states(finished).values()) == {"ok"}


def test_a_flipped_bit_in_a_step_is_found_although_the_time_is_restored(home):
    path = make_step(home, "tokens")
    flip(path)
    finished = call_cli(home.root, "doctor", "--json")
    assert (finished.status, states(finished)["steps"]) == (1, "problem")
    assert any(path.name in row["said"] for row in finished.json["checks"])
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert not (path.parent / RECORD_FILE).exists(), "so that the next run does the step again"


def test_a_damaged_checkpoint_is_restored_from_the_other_copy(home):
    trained = make_step(home, "models", "model.safetensors")
    package = home.mlruns / "package"
    packaged = package / "artifacts" / "model.safetensors"
    packaged.parent.mkdir(parents=True)
    packaged.write_bytes(trained.read_bytes())
    client, digest = connect(home), file_digest(trained)
    client.create_registered_model("toy")
    client.create_model_version("toy", source=package.as_uri(), tags={CHECKPOINT_TAG: digest})
    for damaged, subject in ((trained, "steps"), (packaged, "versions")):
        flip(damaged)
        finished = call_cli(home.root, "doctor", "--json")
        assert (finished.status, states(finished)[subject]) == (1, "problem")
        finished = call_cli(home.root, "doctor", "--repair", "--json")
        assert (finished.status, states(finished)[subject]) == (0, "repaired")
        assert file_digest(damaged) == digest
    for path in (trained, packaged):
        flip(path)
    finished = call_cli(home.root, "doctor", "--repair", "--json")
    assert (finished.status, states(finished)["versions"]) == (1, "problem"), "no copy is left"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "zeroed", "emptied", "removed"])
def test_a_damaged_database_ends_commands_in_one_line_that_says_how_to_restore_it(home, how):
    make_model(home, "first")
    assert backups.back_up(home)
    make_model(home, "second")
    assert backups.back_up(home)
    database = home.mlruns / "mlflow.db"
    content = database.read_bytes()
    if how == "removed":
        database.unlink()
    else:
        damage = {
            "cut": content[: len(content) // 2],
            "zeroed": bytes(len(content)),
            "emptied": b"",
        }
        database.write_bytes(damage[how])
    finished = fork_cli(home.root, "models")
    assert finished.status == 1
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1
    assert "`rnnlm doctor --repair`" in finished.err
    assert call_cli(home.root, "doctor").status == 1
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert fork_cli(home.root, "models").status == 0
    assert models(database) == {"first", "second"}


def test_the_newest_sound_backup_is_restored(home):
    make_model(home, "first")
    backups.back_up(home)
    make_model(home, "second")
    newest = backups.back_up(home)
    assert newest is not None
    newest.write_bytes(bytes(5000))
    database = home.mlruns / "mlflow.db"
    database.write_bytes(b"no database")
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert models(database) == {"first"}
    assert [path.read_bytes() for path in home.mlruns.glob("mlflow.db.damaged-*")] == [
        b"no database"
    ], "the damaged file is kept"


@pytest.mark.slow
def test_without_a_backup_a_damaged_database_is_put_aside(home):
    database = home.mlruns / "mlflow.db"
    database.write_bytes(b"no database")
    finished = fork_cli(home.root, "models")
    assert "there is no backup" in finished.err
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert fork_cli(home.root, "models").status == 0


def test_a_damaged_prefect_database_is_put_aside(home):
    flip_header(home.prefect / "prefect.db")
    finished = call_cli(home.root, "doctor", "--json")
    assert (finished.status, states(finished)["prefect.db"]) == (1, "problem")
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert not (home.prefect / "prefect.db").exists()
    assert [*home.prefect.glob("prefect.db.damaged-*")]


@pytest.mark.slow
def test_an_unreadable_format_is_repaired(home):
    (home.data / "format.json").write_text("{")
    assert "rnnlm doctor --repair" in fork_cli(home.root, "models").err
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert fork_cli(home.root, "models").status == 0


def test_databases_open_to_others_become_private(home):
    database = home.mlruns / "mlflow.db"
    database.chmod(0o644)
    assert states(call_cli(home.root, "doctor", "--json"))["permissions"] == "problem"
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert database.stat().st_mode & 0o777 == 0o600


def test_unfinished_writes_are_removed_once_they_are_old(home):
    old, young = home.data / ".a.0123abcd.tmp", home.data / ".b.0123abcd.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert call_cli(home.root, "doctor").status == 1
    assert call_cli(home.root, "doctor", "--repair").status == 0
    assert (old.exists(), young.exists()) == (False, True)


def test_a_changed_shard_of_a_data_set_is_found(home):
    folder = home.data / "generated" / "toy" / "v1-0123abcd"
    folder.mkdir(parents=True)
    shard = folder / "train.parquet"
    shard.write_bytes(bytes(range(200)))
    manifest = {"shards": [{"file": shard.name, "sha256": file_digest(shard)}]}
    write_json(folder / "manifest.json", manifest)
    assert call_cli(home.root, "doctor").status == 0
    flip(shard)
    assert states(call_cli(home.root, "doctor", "--json"))["data sets"] == "problem"


@pytest.mark.slow
def test_a_missing_home_is_a_problem_and_not_created(tmp_path):
    finished = fork_cli(tmp_path, "doctor", RNNLM_HOME=str(tmp_path / "nowhere"))
    assert finished.status == 1
    assert "RNNLM_HOME" in finished.out
    assert not (tmp_path / "nowhere").exists()


def test_what_it_prints_fits_a_terminal_and_names_the_repair(home):
    flip(make_step(home, "tokens", "a-file-with-a-rather-long-name-" * 3 + ".bin"))
    finished = call_cli(home.root, "doctor")
    assert max(map(len, finished.out.splitlines())) <= 80
    assert "1 problem: " in finished.out
    assert "doctor --repair" in finished.out


def flip_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def make_model(home: Home, name: str) -> None:
    with contextlib.closing(sqlite3.connect(home.mlruns / "mlflow.db")) as connection:
        connection.execute("insert into registered_models (name) values (?)", (name,))
        connection.commit()


def models(database: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("select name from registered_models")}
