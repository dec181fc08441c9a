"""Test scheduled retraining on a corpus that grows, changes, turns to garbage and breaks.

The test simulates sixteen days of the month that `python benchmarks/month.py` simulates in full.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT

FIRST_DAY, EDITED_DAY, GARBAGE_DAY, BROKEN_DAY, LAST_DAY = 9, 11, 17, 23, 24
pytestmark = [pytest.mark.slow, pytest.mark.soak]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("month")
    script = [sys.executable, str(ROOT / "benchmarks" / "month.py"), "--budget", "5 epochs"]
    script += ["--first", str(FIRST_DAY), "--last", str(LAST_DAY)]
    script += ["--folder", str(folder), "--json", str(folder / "month.json")]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    done = subprocess.run(
        script, env={**kept, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    lived: dict[str, Any] = json.loads((folder / "month.json").read_text())
    return {**lived, "folder": str(folder)}


def on(month: dict[str, Any], day: int) -> dict[str, Any]:
    lived: dict[str, Any] = month["days"][day - FIRST_DAY]
    return lived


def test_an_unchanged_corpus_ends_early_and_registers_nothing(month: dict[str, Any]):
    idle = [day for day in month["days"] if day["corpus"].startswith("weekend")]
    assert len(idle) == 4
    assert {day["flow"] for day in idle} == {"unchanged"}
    trained = [day["seconds"] for day in month["days"] if day["flow"] == "version"]
    assert max(day["seconds"] for day in idle) < min(trained)


def test_garbage_never_becomes_champion(month: dict[str, Any]):
    day = on(month, GARBAGE_DAY)
    assert (day["flow"], day["alias"]) == ("version", "challenger")
    assert "worse than champion" in day["reason"] and "own test documents" in day["reason"]
    assert day["version"] not in {move["after"] for move in month["moves"]}
    assert day["champion"] == on(month, GARBAGE_DAY - 1)["champion"]


def test_a_broken_corpus_fails_one_run_and_nothing_else(month: dict[str, Any]):
    assert on(month, BROKEN_DAY)["flow"] == "failed"
    assert [day["day"] for day in month["days"] if day["flow"] == "failed"] == [BROKEN_DAY]
    assert on(month, BROKEN_DAY)["champion"] == on(month, BROKEN_DAY - 1)["champion"]
    assert on(month, BROKEN_DAY + 1)["flow"] == "version"


def test_a_grown_corpus_starts_from_the_champion(month: dict[str, Any]):
    begun = {v["checkpoint"]: v["version"] for v in month["versions"]}
    warm = [day for day in month["days"] if day["started_from"]]
    assert len(warm) >= 5
    assert on(month, EDITED_DAY)["alias"] == "champion"
    assert any(day["started_from"] in begun for day in warm)


def test_the_journal_records_every_move_to_the_current_champion(month: dict[str, Any]):
    moves = month["moves"][::-1]
    assert moves[0]["before"] is None
    assert all(one["after"] == two["before"] for one, two in itertools.pairwise(moves))
    assert all(move["done"] and move["who"].startswith("flow run") for move in moves)
    champion = next(v for v in month["versions"] if v["alias"] == "champion")
    assert champion["version"] == moves[-1]["after"] == on(month, LAST_DAY)["champion"]
    assert champion["version"] >= on(month, EDITED_DAY)["version"]


def test_users_get_the_notifications_that_they_asked_for(month: dict[str, Any]):
    titles = [message["title"] for message in month["messages"]]
    assert sum("new champion" in title for title in titles) == len(month["moves"])
    assert sum("the run failed" in title for title in titles) == 1
    assert any("is worse on fresh text" in title for title in titles)


def test_housekeeping_keeps_disk_use_bounded(month: dict[str, Any]):
    versions = len(month["versions"])
    assert versions <= 6  # newest three, champion, previous, the version it started from
    sizes = [day["megabytes"] for day in month["days"]]
    assert max(sizes) < 8 * sizes[0]  # each version is about that large, plus the databases


def test_no_process_is_left(month: dict[str, Any]):
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RNNLM_HOME") == str(Path(month["folder"]).resolve()):
                left.append(process.cmdline())
    assert left == []
