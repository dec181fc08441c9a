"""Test the line that a command ends with if a store or the operating system fails."""

import errno
import os
from pathlib import Path

import pytest

from flows.console.endings import store_failure, system_failure


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "make the file system writable"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "raise the limit on open files"),
    ],
)
def test_a_failure_of_the_system_names_the_file_and_what_to_do(number: int, advice: str):
    said = system_failure(OSError(number, os.strerror(number), "data/x"))
    assert said.startswith(f"data/x: {os.strerror(number)}; finished steps are kept: {advice}")
    assert said.endswith("run the same command again")


def test_a_missing_file_and_an_error_without_words_are_one_line(tmp_path: Path):
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "a").rename(tmp_path / "b")
    assert f"{tmp_path}/a and {tmp_path}/b: No such file" in system_failure(caught.value)
    assert system_failure(TimeoutError()).startswith("TimeoutError; finished")


def test_a_server_that_asks_for_a_password_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RNNLM_PASSWORD", raising=False)
    monkeypatch.delenv("RNNLM_PASSWORD_FILE", raising=False)
    error = RuntimeError("API request failed with error code 401 != 200. Response body: 'authen")
    assert store_failure("mlflow", error).startswith("mlflow: the server asks for a password: set ")


def test_a_locked_database_is_named():
    error = RuntimeError("(sqlite3.OperationalError) database is locked\n[SQL: …")
    assert "another program has locked the database" in store_failure("mlflow", error)
