"""Test that homes share finished steps through an object store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.chain import shared_steps
from flows.chain.records import Step, attempt, forced
from flows.chain.shared_steps import VARIABLE
from rnnlm.checksums import sealed
from rnnlm.errors import ConfigError, StorageError
from rnnlm.object_store import ObjectStore
from tests.conftest import fork_cli, write_tiny
from tests.flows.serving import free_port
from tests.object_store import S3


class Result(BaseModel):
    """The result of a step."""

    uri: str
    table: str


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/store")
    return tmp_path / "store"


def fail(*_: object) -> None:
    raise StorageError("cut")


def step_in(home: Path) -> Step[Result]:
    return Step("count", 1, {"text": "a"}, Result, home / "data" / "baselines" / "book")


def do(home: Path, content: bytes = b"table") -> tuple[Result, bool]:
    """Do the step in a home; return its result, and whether it was there already."""
    step = step_in(home)
    with attempt(step) as attempted:
        if not attempted.is_recalled:
            (step.folder / "parts").mkdir(parents=True)
            (step.folder / "parts" / "table").write_bytes(content)
            folder = str(step.folder)
            attempted.result = Result(uri=folder, table=f"{folder}/parts/table")
    return attempted.result, attempted.is_recalled


def test_a_step_that_another_home_has_done_is_not_done_again(store: Path, tmp_path: Path):
    assert do(tmp_path / "one") == (step_in(tmp_path / "one").recall(), False)
    result, is_recalled = do(tmp_path / "two")
    assert is_recalled
    assert result.table.startswith(str(tmp_path / "two"))
    assert Path(result.table).read_bytes() == b"table"
    assert not [*store.rglob("*.tmp")]


def test_what_was_done_before_the_store_was_named_is_shared_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    do(tmp_path / "one")
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/store")
    assert do(tmp_path / "one")[1]
    assert do(tmp_path / "two")[1]


def test_the_first_to_finish_keeps_its_result_and_the_other_takes_it(store: Path, tmp_path: Path):
    step = step_in(tmp_path / "slow")
    with attempt(step) as attempted:
        do(tmp_path / "fast", b"fast")
        step.folder.mkdir(parents=True)
        (step.folder / "table").write_bytes(b"slow")
        attempted.result = Result(uri=str(step.folder), table=f"{step.folder}/table")
    assert Path(attempted.result.table).read_bytes() == b"fast"
    assert step.recall() == attempted.result
    assert not (step.folder / "table").exists()


def test_a_forced_step_neither_takes_nor_shares_a_result(store: Path, tmp_path: Path):
    do(tmp_path / "one", b"shared")
    with forced(True):
        result, is_recalled = do(tmp_path / "two", b"forced")
    assert not is_recalled
    assert Path(result.table).read_bytes() == b"forced"
    assert Path(do(tmp_path / "three")[0].table).read_bytes() == b"shared"


def test_a_shared_result_of_another_version_is_refused(store: Path, tmp_path: Path):
    class OtherResult(BaseModel):
        uri: str

    step = step_in(tmp_path / "one")
    other = Step(step.name, step.version, step.ingredients, OtherResult, step.siblings)
    with attempt(other) as attempted:
        attempted.result = OtherResult(uri=str(other.folder))
    message = (
        "the step count in the shared store was made by another version of rnnlm "
        f"(key {step.key}); delete it there, or run the command with --force"
    )
    with pytest.raises(StorageError, match=f"^{re.escape(message)}$"):
        do(tmp_path / "two")


def test_an_interrupted_upload_and_an_interrupted_download_go_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as cut:
        cut.setattr(ObjectStore, "create", fail)
        with pytest.raises(StorageError, match="cut"):
            do(tmp_path / "one")
    assert step_in(tmp_path / "one").recall()
    assert do(tmp_path / "one")[1]
    with monkeypatch.context() as cut:
        cut.setattr(shared_steps, "write_record", fail)
        with pytest.raises(StorageError, match="cut"):
            do(tmp_path / "two")
    table = step_in(tmp_path / "two").folder / "parts" / "table"
    before = table.stat().st_mtime_ns
    assert do(tmp_path / "two")[1]
    assert table.stat().st_mtime_ns == before


@pytest.mark.parametrize("what", ["file", "record", "name"])
def test_a_damaged_store_is_refused_in_one_line(store: Path, tmp_path: Path, what: str):
    do(tmp_path / "one")
    [record] = store.rglob("record.json")
    if what == "file":
        [stored] = [path for path in store.rglob("files/*") if path.is_file()]
        stored.write_bytes(b"tablf")
    elif what == "record":
        record.write_text(record.read_text().replace("table", "tablf"))
    else:
        value = json.loads(record.read_text())
        value["files"] = {"../../outside": value["files"]["parts/table"]}
        record.write_text(json.dumps(sealed(value)))
    with pytest.raises(StorageError, match="is damaged; delete it, then run the same"):
        do(tmp_path / "two")
    assert not [path for path in (tmp_path / "two").rglob("*") if path.name in ("table", "outside")]


def test_a_path_that_is_no_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "steps")
    with pytest.raises(ConfigError, match=r"RNNLM_STEPS=steps \(expected the address"):
        do(tmp_path)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3(free_port())
    yield server
    server.kill()


@pytest.mark.slow
def test_a_second_home_trains_nothing_and_registers_the_same_model(tmp_path: Path, s3: S3):
    results = []
    for name in ("one", "two"):
        home = tmp_path / name
        home.mkdir()
        write_tiny(home)
        settings = {**s3.environment, VARIABLE: "s3://texts/steps"}
        finished = fork_cli(home, "train", "tiny.toml", "--json", **settings)
        assert finished.status == 0, finished.err
        results.append(finished.json)
    one, two = results
    assert not any(one["cached"].values())
    made = {stage for stage, cached in two["cached"].items() if not cached}
    assert made <= {"register", "sample", "gate", "review"}
    assert two["version"] == 1
    assert two["test"] == one["test"]
    assert two["generated"]["digest"] == one["generated"]["digest"]
