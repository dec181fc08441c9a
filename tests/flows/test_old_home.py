"""Test that a home which an earlier version of the package wrote still works."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from flows.runtime import home
from rnnlm.errors import StorageError
from tests.conftest import ROOT, fork_cli

ARCHIVE = ROOT / "tests" / "homes" / "8404370.tar.xz"
WAS_AT = "/tmp/rnnlm-home"


def unpack(folder: Path) -> Path:
    """Unpack the old home and update the absolute paths in its MLflow store."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    root = folder / "home"
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for column in store.execute(f"PRAGMA table_info({table})").fetchall():
                store.execute(
                    f"UPDATE {table} SET {column[1]} = replace({column[1]}, ?, ?) "
                    f"WHERE {column[1]} LIKE ?",
                    (WAS_AT, str(root), f"%{WAS_AT}%"),
                )
    return root


def said(root: Path, *arguments: str) -> str:
    finished = fork_cli(root, *arguments)
    assert finished.status == 0, finished.err
    return finished.out


def kill_once_it_trains(root: Path, *arguments: str) -> None:
    """Start a command; kill it and its server once training has saved a file to resume from."""
    known = {*root.glob("data/models/pets/*/last.safetensors")}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=root, env=os.environ | {"RNNLM_HOME": str(root), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while {*root.glob("data/models/pets/*/last.safetensors")} <= known:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_an_old_home_generates_promotes_rolls_back_retrains_and_resumes(tmp_path: Path):
    root = unpack(tmp_path)
    before = (root / "texts" / "manifest.json").read_bytes()
    assert "1 → 2" in said(root, "history", "pets")
    again = said(root, "generate", "pets", "--count", "60", "--out", "texts")
    assert "they were finished already" in again
    assert (root / "texts" / "manifest.json").read_bytes() == before
    assert "pets/1" in said(root, "promote", "pets", "1")
    assert "pets/2" in said(root, "rollback", "pets")

    budget = ("--set", "training.budget=12 epochs")
    retrained = json.loads(said(root, "train", "pets.toml", *budget, "--json"))
    assert retrained["version"] == 3
    assert not retrained["cached"]["ingest"]

    longer = ("--set", "training.budget=40 epochs", "--set", "training.validations=40")
    kill_once_it_trains(root, "train", "pets.toml", *longer)
    assert "will resume where it stopped" in said(root, "train", "pets.toml", *longer, "--plan")
    assert json.loads(said(root, "train", "pets.toml", *longer, "--json"))["version"] == 4
    assert json.loads((root / "data" / home.FORMAT_FILE).read_text()) == {"format": home.FORMAT}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"format": 99}', "has format 99, which a later version wrote"),
        ('{"format": "x"}', "does not state the format"),
        ("not JSON", "does not state the format"),
    ],
)
def test_a_home_that_cannot_be_read_is_refused_in_one_line(
    content: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RNNLM_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / home.FORMAT_FILE).write_text(content)
    with pytest.raises(StorageError, match=complaint) as caught:
        home.current()
    assert "\n" not in str(caught.value)


def test_a_used_home_is_marked_with_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RNNLM_HOME", str(tmp_path))
    home.current()
    assert not [*tmp_path.iterdir()]
    home._check_format.cache_clear()
    for name in ("data", "mlruns"):
        (tmp_path / name).mkdir()
    home.current()
    assert json.loads((tmp_path / "data" / home.FORMAT_FILE).read_text()) == {"format": home.FORMAT}
