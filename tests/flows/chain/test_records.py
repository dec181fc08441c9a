"""Test the records of steps on disk."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.chain.records import RECORD_FILE, Step, attempt, read_step_record
from rnnlm.errors import StorageError
from rnnlm.storage import write_bytes


class Result(BaseModel):
    """The result of a step."""

    count: int
    uri: str = ""
    table: str = ""


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
