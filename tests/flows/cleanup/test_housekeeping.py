"""Test what housekeeping removes, what it never removes, and what it leaves if it is killed."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import registry, tracking
from flows.chain.plan import plan
from flows.chain.stage import Run
from flows.chain.stages import CHAIN
from flows.chain.warm_start import Start
from flows.cleanup import step_folders
from flows.cleanup.leftovers import Found, leftovers, look
from flows.cleanup.mlflow_store import Store
from flows.cleanup.removing import remove
from flows.cleanup.rules import DAY_SECONDS, Leftover, Rules
from flows.retrain import take
from flows.runtime import home as homes
from flows.runtime import locks, model_locks, reporting
from flows.runtime.home import Home
from rnnlm.checksums import DIGEST, write_record
from rnnlm.config import Experiment, load
from rnnlm.errors import ConfigError
from rnnlm.storage import write_json
from tests.conftest import ROOT, call_cli, run_cli, write_tiny

RATES = (0.001, 0.002, 0.003, 0.01, 0.02, 0.03)
"""The learning rates with which versions 1 to 6 are trained."""
CHAMPION, PREVIOUS, PRODUCTION, CLAIMED, LOST, NEWEST = 2, 1, 3, 4, 5, 6


def experiment(home: Path, version: int) -> Experiment:
    return load(home / "tiny.toml", [f"training.learning_rate={RATES[version - 1]}"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with six versions, made by running the chain's steps without Prefect."""
    root = tmp_path_factory.mktemp("built")
    write_tiny(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNLM_HOME", str(root))
        patch.chdir(root)
        for version in range(1, len(RATES) + 1):
            _train(experiment(root, version))
        home = Home(root)
        registry.promote(home, "tiny", str(PREVIOUS))
        registry.promote(home, "tiny", str(CHAMPION))
        client = tracking.connect(home)
        client.set_registered_model_alias("tiny", "production", str(PRODUCTION))
        client.delete_registered_model_alias("tiny", "challenger")
    write_json(home.data / homes.FORMAT_FILE, {"format": homes.FORMAT})  # as a next command would
    return root


def _train(chosen: Experiment) -> None:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's warnings about missing optional arguments
        patch.setattr(reporting.ProgressArtifact, "FIRST_SECONDS", 1e9)
        take(Run(homes.current(), chosen, start=Start(None, "from nothing")), CHAIN)


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the built home whose stored paths point into the copy."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    for record in tmp_path.rglob(".step.json"):
        value = json.loads(record.read_text().replace(str(built), str(tmp_path)))
        value.pop(DIGEST)
        write_record(record, value)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as database:
        for table, column in (
            ("runs", "artifact_uri"),
            ("experiments", "artifact_location"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
            ("model_version_tags", "value"),
        ):
            change = f"update {table} set {column} = replace({column}, ?, ?)"
            database.execute(change, (str(built), str(tmp_path)))
        database.commit()
    folder = tmp_path / "data" / "generated" / "tiny" / f"v{CLAIMED}-0123abcd"
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps({"model": {"name": "tiny", "version": str(CLAIMED)}})
    )
    return Home(tmp_path)


def in_two_months(keep_days: float = 30, keep_versions: int = 1) -> Rules:
    return Rules(keep_days, keep_versions, time.time() + 60 * DAY_SECONDS)


def age(root: Path, days: float = 60) -> None:
    """Change the times of all files and runs in a home, so that they are `days` older."""
    seconds = days * DAY_SECONDS
    for path in root.rglob("*"):
        if not path.is_symlink():
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - seconds))
    with contextlib.closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as database:
        for table, column in (
            ("runs", "start_time"),
            ("runs", "end_time"),
            ("model_versions", "creation_time"),
            ("logged_models", "creation_timestamp_ms"),
        ):
            database.execute(f"update {table} set {column} = {column} - {int(seconds * 1000)}")
        database.commit()


def listed(home: Home, rules: Rules) -> tuple[Found, list[Leftover]]:
    found = look(home, rules, set())
    return found, [*leftovers(found)]


def sweep(home: Home, rules: Rules) -> list[Leftover]:
    found, rows = listed(home, rules)
    return [row for row in rows if remove(found, row)]


def assert_whole(home: Home, version: int) -> None:
    """Assert that a version is usable and that all steps of its training are cached."""
    chosen = registry.resolve(home, f"tiny/{version}")
    assert registry.checkpoint_path(home, chosen).is_file()
    planned = plan(Run(home, experiment(home.root, version)), CHAIN)
    assert all(step.cached for step in planned), planned


def files(root: Path) -> dict[str, str]:
    """Return digests of a home's files, except Prefect's, whose files change with each request."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and "prefect" not in path.relative_to(root).parts
    }


def bytes_beside_databases(root: Path) -> int:
    return sum(
        path.stat().st_size
        for path in root.rglob("*")
        if path.is_file() and "prefect" not in path.parts and path.name != "mlflow.db"
    )


@pytest.mark.slow
def test_nothing_that_an_alias_or_a_manifest_names_is_removed(home: Home):
    gone = sweep(home, in_two_months())
    assert [row.what for row in gone if row.kind == "version"] == [f"tiny/{LOST}"]
    assert {v.version for v in registry.versions(home)} == {1, 2, 3, 4, 6}
    for version in (CHAMPION, PREVIOUS, PRODUCTION, CLAIMED, NEWEST):
        assert_whole(home, version)
    kinds = [row.kind for row in gone]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "version": 1,
        "run": 1,
        "step": 5,  # samples, two scores, page, model; tokens, corpus and n-grams are shared
        "position": 5,
        "packed": 1,
    }
    kept = {version.checkpoint for version in registry.versions(home)}
    assert {path.stem for path in home.packed.iterdir()} == kept
    claimed = home.data / "generated" / "tiny" / f"v{CLAIMED}-0123abcd" / "manifest.json"
    assert claimed.is_file()


@pytest.mark.slow
def test_the_reported_bytes_are_freed_and_a_second_run_finds_nothing(home: Home):
    before = bytes_beside_databases(home.root)
    gone = sweep(home, in_two_months())
    freed = before - bytes_beside_databases(home.root)
    assert sum(row.bytes for row in gone) == freed > 1_000_000
    assert listed(home, in_two_months())[1] == []
    run = next(row.what for row in gone if row.kind == "run")
    assert not [*home.mlruns.rglob(f"*{run}*")]


@pytest.mark.slow
def test_young_files_and_recent_versions_stay(home: Home):
    in_three_days = Rules(30, 1, time.time() + 3 * DAY_SECONDS)
    for rules in (in_three_days, in_two_months(keep_versions=6)):
        assert {row.kind for row in listed(home, rules)[1]} == {"position"}


@pytest.mark.slow
def test_files_and_models_made_by_users_are_never_listed(home: Home):
    generated = home.data / "generated" / "tiny"
    for name in ("0123456789abcdef", "v9-76543210", "mine"):
        (generated / name).mkdir()
        (generated / name / "train-00000.parquet").write_bytes(b"PAR1")
    (generated / "0123456789abcdef" / "manifest.json").write_text("{}")
    (home.data / "sources" / "x").mkdir(parents=True)
    (home.data / "sources" / "x" / ".a.12345678.tmp").write_text("part")
    client = tracking.connect(home)
    client.create_registered_model("theirs")
    for number in range(8):
        client.create_model_version("theirs", source=f"file:///elsewhere/{number}")
    (home.data / "models" / "other").mkdir()
    (home.data / "models" / "other" / "fedcba9876543210").mkdir()
    before = files(home.root)
    gone = {row.what for row in sweep(home, in_two_months())}
    after = files(home.root)
    kept = [name for name in before if "v9-" in name or "mine" in name or "sources" in name]
    assert all(after[name] == before[name] for name in kept)
    assert not any("0123456789abcdef" in what or "fedcba" in what for what in gone)
    assert len(client.search_model_versions("name = 'theirs'")) == 8


@pytest.mark.slow
def test_a_version_whose_files_are_missing_is_registered_again(home: Home, built: Path):
    version = registry.resolve(home, f"tiny/{CHAMPION}")
    shutil.rmtree(registry.checkpoint_path(home, version).parents[1])
    assert not registry.is_whole(home, version)
    _train(experiment(home.root, CHAMPION))
    retrained = registry.resolve(home, "tiny")
    assert (retrained.version, retrained.checkpoint) == (len(RATES) + 1, version.checkpoint)
    assert registry.is_whole(home, retrained)
    assert retrained.reason == f"the files of champion {CHAMPION} are missing or damaged"


@pytest.mark.slow
def test_an_unfinished_data_set_keeps_its_model(home: Home):
    lost = registry.resolve(home, f"tiny/{LOST}")
    folder = home.data / "generated" / "tiny" / f"v{LOST}-76543210"
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"checkpoint": lost.checkpoint}))
    assert not [row for row in listed(home, in_two_months())[1] if row.kind == "version"]


@pytest.mark.slow
def test_a_step_in_use_protects_all_results_of_its_name(home: Home):
    lock = step_folders.lock_files(home.data / "tokens" / "tiny")[0]
    with held(lock):
        found, rows = listed(home, in_two_months())
        assert found.busy == {"tiny"}
        assert rows == []
    found, rows = listed(home, in_two_months())
    with held(lock):  # a run that began after the listing
        before = files(home.root)
        assert not any(remove(found, row) for row in rows if row.kind in ("step", "run", "version"))
        assert files(home.root) == before


@pytest.mark.slow
def test_a_run_protects_all_results_of_its_model_until_it_ends(home: Home):
    with model_locks.working_on(home, "tiny"):
        found, rows = listed(home, in_two_months())
        assert (found.busy, rows) == ({"tiny"}, [])
    found, rows = listed(home, in_two_months())
    assert rows and not found.busy


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a file lock in another process while the context lasts."""
    script = (
        "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n print(flush=True)\n input()"
    )
    command = [sys.executable, "-c", script, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.communicate("\n")


@pytest.mark.slow
def test_an_alias_set_after_the_listing_protects_a_version(home: Home):
    found, rows = listed(home, in_two_months())
    tracking.connect(home).set_registered_model_alias("tiny", "mine", str(LOST))
    row = next(row for row in rows if row.kind == "version")
    assert not remove(found, row)
    assert registry.checkpoint_path(home, registry.resolve(home, f"tiny/{LOST}")).is_file()


@pytest.mark.slow
def test_housekeeping_in_a_copied_home_never_touches_the_original(built: Path, tmp_path: Path):
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    before = files(built)
    sweep(Home(tmp_path), in_two_months())
    assert files(built) == before


SWEEP = """
import sys, time
from flows.runtime import home
from flows.cleanup.leftovers import leftovers, look
from flows.cleanup.removing import remove
from flows.cleanup.rules import Rules
found = look(home.current(), Rules(30, 1, float(sys.argv[1])), set())
rows = [*leftovers(found)]
print(len(rows), flush=True)
for row in rows:
    remove(found, row)
"""


@pytest.mark.slow
@pytest.mark.soak
def test_housekeeping_can_be_killed_at_any_moment(home: Home):
    models = home.data / "models" / "tiny"
    model = sorted(path for path in models.iterdir() if step_folders.KEY.fullmatch(path.name))[0]
    samples = next((home.data / "generated" / "tiny").glob("*/.step.json")).parent
    for number in range(40):  # unreferenced results of trainings and samples
        for folder, kind in ((model, "models"), (samples, "generated")):
            copy = home.data / kind / "tiny" / f"{number:016x}"
            shutil.copytree(folder, copy)
            record = (copy / ".step.json").read_text()
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            (copy / ".step.json").write_text(re.sub(r'"[0-9a-f]{64}"', f'"{digest}"', record))
            locks.step(copy).touch()
    for version in registry.versions(home):  # MLflow adds a file on the first request for it
        registry.checkpoint_path(home, version)
    rules = in_two_months()
    before = bytes_beside_databases(home.root)
    expected = sum(row.bytes for row in listed(home, rules)[1])
    killed = 0
    environment = {**os.environ, "RNNLM_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    for delay in (0.0, 0.02, 0.08, 0.2, 0.4):
        with subprocess.Popen(
            [sys.executable, "-c", SWEEP, str(rules.now)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline().strip().isdigit()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        for version in (CHAMPION, PREVIOUS, PRODUCTION, CLAIMED, NEWEST):
            assert_whole(home, version)
        for folder in home.data.glob("*/tiny/[0-9a-f]*/"):
            assert (folder / ".step.json").is_file(), folder
    assert killed >= 3
    sweep(home, rules)
    assert listed(home, rules)[1] == []
    assert before - bytes_beside_databases(home.root) == expected
    store = Store(home)
    assert store._backend._get_deleted_runs() == []
    assert store._backend._get_deleted_logged_models() == []


@pytest.mark.slow
def test_a_run_without_a_process_is_marked_as_killed(home: Home):
    client = tracking.connect(home)
    place = client.get_experiment_by_name("tiny").experiment_id
    keys = ("a" * 16, "b" * 16)
    dead, alive = (
        client.create_run(place, tags={"rnnlm.train_key": key}).info.run_id for key in keys
    )
    other = client.create_run(place).info.run_id  # a user's own run
    lock = home.data / "models" / "tiny" / f".{keys[1]}.lock"
    in_two_hours = Rules(30, 5, time.time() + 7200)
    with held(lock):
        assert not [row for row in listed(home, in_two_hours)[1] if row.kind == "stale run"]
    lock.unlink()
    client.log_metric(
        alive, "by_step/train_tokens", 5.0, timestamp=int((time.time() + 5400) * 1000)
    )
    rows = [row for row in sweep(home, in_two_hours) if row.kind == "stale run"]
    assert [row.what for row in rows] == [dead]
    statuses = [client.get_run(run).info.status for run in (dead, alive, other)]
    assert statuses == ["KILLED", "RUNNING", "RUNNING"]


@pytest.mark.slow
def test_the_command_lists_then_removes_and_the_home_stays_usable(home: Home):
    age(home.root)
    before = files(home.root)
    shown = run_cli(home.root, "housekeeping", "--keep-versions", "1")
    assert shown.status == 0, shown.err
    assert f"tiny/{LOST}" in shown.out
    assert "nothing was removed; add --apply" in shown.out
    assert files(home.root) == before
    size = bytes_beside_databases(home.root)
    ask = ["housekeeping", "--keep-versions", "1", "--json", "--apply"]
    done = run_cli(home.root, *ask).json
    assert done["applied"]
    assert done["bytes"] == size - bytes_beside_databases(home.root) > 1_000_000
    again = run_cli(home.root, *ask).json
    assert (again["kinds"], again["in_use"]) == ({}, [])
    generated = run_cli(home.root, "generate", "tiny", "--count", "5", "--json")
    assert generated.json["version"] == CHAMPION, generated.err
    rate = f"training.learning_rate={RATES[CHAMPION - 1]}"
    again = run_cli(home.root, "train", "tiny.toml", "--set", rate, "--json")
    assert all(again.json["cached"].values()), again.json["cached"]
    with contextlib.closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        pages = database.execute("select data from artifact where key = 'housekeeping'").fetchall()
        tags = {tags for (tags,) in database.execute("select tags from flow_run")}
    assert sum(f"tiny/{LOST}" in page for (page,) in pages) == 2
    assert tags == {'["rnnlm"]'}, "housekeeping recognises its own runs by this tag"


@pytest.mark.parametrize(("days", "versions"), [(-1, 5), (float("nan"), 5), (1e9, 5), (30, 0)])
def test_invalid_rules_are_refused(days: float, versions: int):
    with pytest.raises(ConfigError, match="expected"):
        Rules(days, versions, 0.0)


@pytest.mark.parametrize("option", [["--keep-days", "-1"], ["--keep-versions", "0"]])
def test_bad_input_is_a_one_line_error(tmp_path: Path, option: list[str]):
    finished = call_cli(tmp_path, "housekeeping", *option)
    assert finished.status == 1
    assert finished.err.count("\n") == 1
    assert "(expected" in finished.err
    assert not (tmp_path / "data").exists()
