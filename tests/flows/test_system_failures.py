"""Full and read-only disks and a locked database each end a command with a one-line error.

The same command works once the cause is gone.
"""

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished, call_cli, fork_cli, run_cli, write_tiny

pytestmark = pytest.mark.slow
GENERATE = ("generate", "tiny", "--count", "12")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("failures")
    write_tiny(root)
    finished = fork_cli(root, "train", "tiny.toml", "--json")
    assert finished.status == 0, finished.err
    return root


def mount(*arguments: str) -> None:
    mounted = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, even for root."""
    mount("--bind", str(folder), str(folder))
    try:
        mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Put a folder and its files on a disk that is full."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, symlinks=True)
    mount("-t", "tmpfs", "-o", f"size={2 * size + 4_000_000}", "tmpfs", str(folder))
    try:
        shutil.copytree(copy, folder, dirs_exist_ok=True)
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(copy)


def line_of(finished: Finished) -> str:
    """Return the one line of an error; progress and notes may come before it."""
    assert finished.status == 1, finished.out
    assert "Traceback" not in finished.err
    lines = [line for line in finished.err.splitlines() if line and not line.startswith("  ")]
    assert len(lines) == 1, finished.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_read_only_store_is_one_line(home: Path):
    with read_only(home / "mlruns"):
        assert "mlruns" in line_of(fork_cli(home, *GENERATE, "--seed", "1"))
    assert fork_cli(home, *GENERATE, "--seed", "1").status == 0


def test_a_full_store_is_one_line(home: Path):
    with full(home / "mlruns"):
        line = line_of(fork_cli(home, *GENERATE, "--seed", "2"))
        assert "full" in line or "No space left" in line
    assert fork_cli(home, *GENERATE, "--seed", "2").status == 0


@pytest.mark.soak
def test_a_temporary_folder_that_becomes_full_is_one_line(home: Path, tmp_path: Path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ask = ("train", "tiny.toml", "--set", "training.budget=2 epochs", "--set", "name=other")
    mount("-t", "tmpfs", "-o", "size=200k", "tmpfs", str(temporary))
    try:
        assert "No space left" in line_of(run_cli(home, *ask, TMPDIR=str(temporary)))
    finally:
        subprocess.run(["umount", "-l", str(temporary)], check=True)
    assert fork_cli(home, *ask).status == 0
    models = call_cli(home, "models", "--json").json["models"]
    assert [each["version"] for each in models if each["name"] == "other"] == [1]


@pytest.mark.soak
def test_a_locked_database_is_one_line(home: Path):
    locker = sqlite3.connect(home / "mlruns" / "mlflow.db")
    locker.execute("BEGIN EXCLUSIVE")
    try:
        assert "locked the database" in line_of(fork_cli(home, *GENERATE, "--seed", "3"))
    finally:
        locker.close()
    assert fork_cli(home, *GENERATE, "--seed", "3").status == 0
