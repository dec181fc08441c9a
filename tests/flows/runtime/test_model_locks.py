"""Test the locks that keep housekeeping away from models that runs are working on."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.runtime import model_locks
from flows.runtime.home import Home
from tests.conftest import ROOT

WORKING = """
import sys
from pathlib import Path
from flows.runtime import model_locks
from flows.runtime.home import Home
with model_locks.working_on(Home(Path(sys.argv[1])), "book"):
    print("working", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_run(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Work on the model `book` in another process while the context lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKING, str(home.root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        yield process
        process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_runs_share_a_model_and_housekeeping_waits_for_all_of_them(home: Home):
    with another_run(home):
        with model_locks.working_on(home, "book"):
            assert model_locks.is_busy(home, "book")
        assert model_locks.is_busy(home, "book")
        with model_locks.alone(home, "book") as is_free:
            assert not is_free
        assert not model_locks.is_busy(home, "poems")
    assert not model_locks.is_busy(home, "book")


def test_a_killed_run_releases_its_model(home: Home):
    with another_run(home) as process:
        process.kill()
        process.wait()
        with model_locks.alone(home, "book") as is_free:
            assert is_free


def test_a_run_waits_until_a_removal_has_ended(home: Home):
    begun = threading.Event()

    def work() -> None:
        with model_locks.working_on(home, "book"):
            begun.set()

    with model_locks.alone(home, "book") as is_free:
        assert is_free
        run = threading.Thread(target=work)
        run.start()
        assert not begun.wait(0.2)
    assert begun.wait(10)
    run.join()


def test_looking_leaves_no_file(home: Home):
    assert not model_locks.is_busy(home, "book")
    assert not [*home.root.rglob("*.lock")]
