"""Test the records of steps on disk."""

import logging
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.chain.records import (
    RECORD_FILE,
    Step,
    attempt,
    changed_files,
    fault_of,
    forced,
    read_step_record,
)
from flows.runtime import locks
from rnnlm.errors import StorageError
from rnnlm.storage import file_digest, write_bytes
from rnnlm.training.trained import LAST_FILE


class Result(BaseModel):
    """The result of a step."""

    count: int
    uri: str = ""
    table: str = ""
    parts: list[str] = []
    splits: dict[str, str] = {}


class OtherResult(BaseModel):
    """The result of a step of another version of rnnlm."""

    total: int


def step_in(siblings: Path, *, version: int = 1, **ingredients: object) -> Step[Result]:
    return Step("count", version, ingredients, Result, siblings, frozenset({"index"}))


def do(step: Step[Result], **files: str) -> Result:
    """Do a step, which writes files; return its result, which names them."""
    with attempt(step) as attempted:
        for name, content in files.items():
            write_bytes(step.folder / name, content.encode())
        paths = {name: str(step.folder / name) for name in files}
        attempted.result = Result(
            count=len(files), uri=str(step.folder), parts=[*paths.values()], splits=paths
        )
    return attempted.result


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_the_key_depends_on_the_name_the_version_and_the_ingredients(tmp_path: Path):
    steps = [
        Step(name, version, {"text": text}, Result, tmp_path)
        for name in ("count", "sort")
        for version in (1, 2)
        for text in "ab"
    ]
    assert len({step.key for step in steps}) == len(steps)
    assert all(re.fullmatch("[0-9a-f]{16}", step.key) for step in steps)
    assert steps[0].folder == tmp_path / steps[0].key


def test_the_record_describes_the_step_its_result_and_its_files(tmp_path: Path):
    step = step_in(tmp_path, version=3, text="a")
    for name in ("table", LAST_FILE):
        write_bytes(step.folder / name, b"table")
    step.remember(Result(count=3), 1.23456)
    record = read_step_record(step.folder / RECORD_FILE)
    assert record is not None
    assert (record["step"], record["version"], record["seconds"]) == ("count", 3, 1.235)
    assert record["ingredients"] == {"text": "a"}
    assert record["files"] == {"table": {"sha256": file_digest(step.folder / "table")}}
    assert record["result"] == Result(count=3).model_dump()


def test_an_attempt_measures_the_seconds_and_touches_the_lock(tmp_path: Path):
    step = step_in(tmp_path / "steps", text="a")
    lock = locks.step(step.folder)
    do(step, table="table")
    os.utime(lock, (0, 0))
    began = time.time()
    with attempt(step) as attempted:
        assert attempted.folder == step.folder
        assert attempted.is_recalled
    assert lock.stat().st_mtime >= began - 1
    record = read_step_record(step.folder / RECORD_FILE)
    assert record is not None
    assert 0 <= record["seconds"] < 30


def test_an_attempt_needs_a_result(tmp_path: Path):
    step = step_in(tmp_path, text="a")
    with pytest.raises(AssertionError, match="no result was set"), attempt(step):
        pass
    assert step.recall() is None


def test_a_result_with_other_fields_is_not_recalled(tmp_path: Path):
    step = step_in(tmp_path, text="a")
    result = do(step, table="table")
    assert step.recall() == result
    other = Step(step.name, step.version, step.ingredients, OtherResult, tmp_path)
    assert other.folder == step.folder
    assert other.recall() is None


def test_forced_ignores_results_within_its_context_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    step = step_in(tmp_path, text="a")
    result = do(step, table="table")
    with forced(True):
        assert step.recall() is None
        assert step.why() == "forced"
        with forced(False):
            assert step.recall() == result
        with attempt(step) as attempted:
            assert not attempted.is_recalled
            assert not step.folder.exists()
            attempted.result = result.model_copy(update={"parts": [], "splits": {}})
    assert step.recall() == attempted.result
    assert step.why() == "done"
    assert not caplog.records


def test_a_moved_result_names_its_files_where_they_are(tmp_path: Path):
    before = step_in(tmp_path / "one" / "book", text="a")
    result = do(before, table="table", index="index")
    shutil.copytree(before.folder, tmp_path / "two" / "book" / before.key)
    after = step_in(tmp_path / "two" / "book", text="a")
    moved = after.recall()
    assert moved is not None
    assert moved.uri == str(after.folder)
    assert moved.parts == [str(after.folder / name) for name in ("table", "index")]
    assert moved.splits == {name: str(after.folder / name) for name in ("table", "index")}
    assert before.recall() == result
    (after.folder / "index").unlink()
    assert after.recall() is None
    assert after.why() == "index is missing"


def test_a_folder_that_a_result_names_must_be_there_even_if_it_is_empty(tmp_path: Path):
    before = step_in(tmp_path / "one" / "book", text="a")
    with attempt(before) as attempted:
        (before.folder / "shards").mkdir(parents=True)
        folder = str(before.folder)
        attempted.result = Result(count=0, uri=folder, table=f"{folder}/shards")
    after = step_in(tmp_path / "two" / "book", text="a")
    shutil.copytree(before.folder, after.folder)
    for step in (before, after):
        assert step.recall()
        (step.folder / "shards").rmdir()
        assert step.recall() is None
        assert step.why() == "shards is missing"


def test_paths_elsewhere_stay_as_they_were_recorded(tmp_path: Path):
    before = step_in(tmp_path / "one" / "book", text="a")
    elsewhere = [f"{before.folder}.txt", "/elsewhere/table", "table"]
    with attempt(before) as attempted:
        write_bytes(before.folder / "table", b"table")
        attempted.result = Result(count=1, uri=str(before.folder), parts=elsewhere)
    shutil.copytree(before.folder, tmp_path / "two" / "book" / before.key)
    shutil.copytree(before.folder, tmp_path / "two" / "film" / before.key)
    moved = step_in(tmp_path / "two" / "book", text="a").recall()
    assert moved is not None
    assert moved.parts == elsewhere
    other_model = step_in(tmp_path / "two" / "film", text="a")
    assert other_model.recall() == attempted.result


def test_a_result_without_a_folder_names_files_in_the_folder_of_its_step(tmp_path: Path):
    class Table(BaseModel):
        path: str
        rows: int

    step = Step("count", 1, {}, Table, tmp_path)
    result = Table(path=str(step.folder / "table"), rows=3)
    write_bytes(step.folder / "table", b"table")
    step.remember(result, 1.0)
    assert step.recall() == result
    (step.folder / "table").unlink()
    message = "table was removed while the step count was done; run the same command again"
    with pytest.raises(StorageError, match=f"{message}$"):
        step.remember(result, 1.0)


@pytest.mark.parametrize(
    ("damaged", "fault", "kept"),
    [
        ("index", "index is damaged", {"table"}),
        ("table", "table is damaged", set()),
        (RECORD_FILE, f"{RECORD_FILE} is damaged", set()),
    ],
)
def test_only_files_that_can_be_rebuilt_are_removed_if_the_others_are_intact(
    tmp_path: Path, damaged: str, fault: str, kept: set[str], caplog: pytest.LogCaptureFixture
):
    step = step_in(tmp_path, text="a")
    do(step, table="table", index="index")
    assert fault_of(step.folder) is None
    assert changed_files(step.folder) == {}
    digest = file_digest(step.folder / damaged)
    write_bytes(step.folder / damaged, b"other")
    assert step.recall() is None
    assert fault_of(step.folder) == fault
    expected = {} if damaged == RECORD_FILE else {damaged: digest}
    assert changed_files(step.folder) == expected
    step.clear()
    assert names_in(step.folder) == kept
    logged = ("flows.chain.records", logging.WARNING)
    warning = f"{step.folder}: {fault}; doing the step count again"
    assert caplog.record_tuples == [(*logged, warning)]
    assert fault_of(step.folder) is None


def test_a_file_that_can_be_rebuilt_may_be_missing(tmp_path: Path):
    step = step_in(tmp_path, text="a")
    do(step, table="table", index="index")
    (step.folder / "index").unlink()
    assert [*changed_files(step.folder)] == ["index"]
    step.clear()
    assert names_in(step.folder) == {"table"}


DIGEST = "0123456789abcdef" * 4
BEFORE = {"model": {"kind": "lstm", "layers": 2}, "sizes": (1, 2), "steps": 9, "text": DIGEST}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": 10}, "steps 9 → 10"),
        ({"text": DIGEST[::-1]}, "text changed"),
        ({"text": "short"}, f"text {DIGEST} → short"),
        ({"text": 7}, f"text {DIGEST} → 7"),
        ({"new": 1}, "new None → 1"),
        ({"model": {"kind": "gru", "layers": 2}}, "model.kind lstm → gru"),
        ({"model": {"kind": "lstm", "deep": {"er": 1}}}, "model.deep None → {'er': 1}, "
         "model.layers 2 → None"),
        ({"model": "gru"}, "model {'kind': 'lstm', 'layers': 2} → gru"),
        ({"text": DIGEST[::-1], "steps": 8, "sizes": (1,)}, "sizes [1, 2] → [1], steps 9 → 8 and "
         "1 more"),
    ],
)  # fmt: skip
def test_the_reason_for_a_step_names_the_ingredients_that_changed(
    tmp_path: Path, changes: dict[str, object], expected: str
):
    do(step_in(tmp_path, **BEFORE), table="table")
    assert step_in(tmp_path, **{**BEFORE, **changes}).why() == expected


def test_the_reason_for_a_step_is_its_difference_from_the_latest_one(tmp_path: Path):
    step = step_in(tmp_path, size=3)
    assert step.why() == "first time"
    for size, modified in ((1, 1000), (9, 3000), (7, 2000)):
        other = step_in(tmp_path, size=size)
        do(other, table="table")
        os.utime(other.folder / RECORD_FILE, (modified, modified))
    imported = Step[Result]("import", 1, {"size": 0}, Result, tmp_path)
    do(imported, table="table")
    write_bytes(tmp_path / "damaged" / RECORD_FILE, b"other")
    assert step.why() == "size 9 → 3"
    assert step_in(tmp_path, version=2, size=3).why() == "step version 1 → 2"
    for record in tmp_path.glob(f"*/{RECORD_FILE}"):
        os.utime(record, (4000, 4000))
    assert step.why() in {f"size {size} → 3" for size in (1, 7, 9)}
    write_bytes(step.folder / LAST_FILE, b"weights")
    assert step.why() == "was interrupted; will resume where it stopped"


def test_what_a_killed_step_was_writing_is_removed_before_the_step_is_done_again(tmp_path: Path):
    step = Step("count", 1, {"text": "a"}, Result, tmp_path)
    torn = [step.folder / ".last.bin.0123abcd.tmp", step.folder / "data" / ".a.b.89abcdef.tmp"]
    for path in torn:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (step.folder / "position").write_bytes(b"whole")
    with attempt(step) as attempted:
        assert not any(path.exists() for path in torn)
        write_bytes(step.folder / "table", b"table")
        attempted.result = Result(count=3)
    record = read_step_record(step.folder / RECORD_FILE)
    assert record is not None
    assert record["files"].keys() == {"position", "table"}
    with attempt(step) as again:
        assert again.is_recalled


def test_a_result_whose_file_was_removed_meanwhile_is_not_recorded(tmp_path: Path):
    step = Step("count", 1, {"text": "a"}, Result, tmp_path)
    table = step.folder / "table"
    result = Result(count=3, uri=str(step.folder), table=str(table))
    with (
        pytest.raises(StorageError, match="table was removed while the step count was done"),
        attempt(step) as first,
    ):
        first.result = result
    assert step.recall() is None
    with attempt(step) as second:
        write_bytes(table, b"table")
        second.result = result
    assert step.recall() == result
    table.unlink()
    assert step.recall() is None
    assert step.why() == "table is missing"
