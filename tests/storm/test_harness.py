"""Test that the storm injects the faults that it should, and that it recognises bad outcomes."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.storm import faults, judging
from tests.storm.cases import Command, Fault, Moment, Outcome, Run
from tests.storm.injecting import compile_shim, preloaded
from tests.storm.snapshots import snapshot

WRITER = """
import os, time
for number in range(5):
    with open(f"part.{number}.tmp", "wb", buffering=0) as file:
        file.write(b"x" * 1000)
        os.fsync(file.fileno())
    os.replace(f"part.{number}.tmp", f"part.{number}")
print(int(time.time()))
"""
COMMAND = Command("write", (), "", ("file", "versions", "runs"))
DONE = Run(0, "", "", 1.0)
REFUSED = Run(1, "", "error: no; `rnnlm doctor --repair` helps\n", 1.0)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


def write(home: Path, shim: Path, moment: Moment, log: Path | None = None) -> tuple[int, str]:
    """Run a script that writes five files in a home; its name makes the shim count its calls."""
    home.mkdir()
    script = home.parent / "flows.cli"
    script.write_text(WRITER)
    environment = preloaded(shim, home, home.parent, moment, log)
    words = [sys.executable, str(script)]
    done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_every_change_is_counted_in_order(tmp_path, shim):
    log = tmp_path / "log"
    assert write(tmp_path / "home", shim, Moment(0, ""), log)[0] == 0
    calls = [line.split()[1:] for line in log.read_text().splitlines()]
    assert [" ".join(call) for call in calls[:4]] == [
        "open part.0.tmp",
        "write part.0.tmp",
        "sync part.0.tmp",
        "rename part.0",
    ]
    assert len(calls) == 20


def test_a_kill_hits_the_chosen_call(tmp_path, shim):
    status, _ = write(tmp_path / "home", shim, Moment(8, "kill"))
    assert status == -9
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"part.0", "part.1.tmp"}


def test_a_torn_write_leaves_half(tmp_path, shim):
    status, _ = write(tmp_path / "home", shim, Moment(2, "tear"))
    assert status == -9
    assert (tmp_path / "home" / "part.0.tmp").stat().st_size == 500


@pytest.mark.parametrize(("do", "made"), [("error:5", 0), ("errors:28", 0)])
def test_a_call_fails_with_the_chosen_error(tmp_path, shim, do, made):
    assert write(tmp_path / "home", shim, Moment(2, do))[0] == 1
    assert len([*(tmp_path / "home").glob("part.?")]) == made


def test_the_clock_jumps_for_the_command_only(tmp_path, shim):
    _, printed = write(tmp_path / "home", shim, Moment(3, "clock:-86400"))
    assert 86_300 < time.time() - int(printed) < 86_500


def test_faults_are_spread_over_kinds_of_calls_and_files():
    calls = [(n, "write", f"a/{n}.parquet") for n in range(1, 100)] + [(100, "rename", "b")]
    chosen = faults.spread(calls, 4, random.Random(1))
    assert any(number == 100 for number, _ in chosen[:2])
    assert chosen == faults.spread(calls, 4, random.Random(1)), "the same seed, the same choice"


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"file a": "1", "versions with c": 1}, Outcome.RECOVERED),
        ({"versions with c": 1}, Outcome.LOST),
        ({"file a": "2", "versions with c": 1}, Outcome.SILENT),
        ({"file a": "1", "versions with c": 2}, Outcome.DOUBLED),
        ({"file a": "1", "versions with c": 1, "runs d": 1}, Outcome.DOUBLED),
    ],
)
def test_what_a_home_holds_is_compared(found, outcome):
    wanted = {"file a": "1", "versions with c": 1}
    killed = Run(-9, "", "", 1.0)
    runs, facts = [killed, DONE], [{}, found]
    assert judging.conclude(COMMAND, Fault("", ""), wanted, runs, facts)[0] is outcome


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (Run(None, "", "", 9.0), Outcome.HUNG),
        (Run(0, "", "", 9.0, ("server",)), Outcome.HUNG),
        (Run(1, "", "Traceback (most recent call last):\nKeyError: 1\n", 1.0), Outcome.TRACEBACK),
        (Run(1, "", "", 1.0), Outcome.TRACEBACK),
        (Run(-11, "", "", 1.0), Outcome.TRACEBACK),
        (REFUSED, Outcome.REFUSED_FOR_GOOD),
    ],
)
def test_a_bad_rerun_gets_a_bad_outcome(run, outcome):
    runs, facts = [REFUSED, run], [{}, {}]
    assert judging.conclude(COMMAND, Fault("", ""), {}, runs, facts)[0] is outcome


def test_following_the_advice_of_a_message_counts_as_refused_not_as_refused_for_good():
    assert judging.remedy(REFUSED) == ["doctor", "--repair"]
    runs, facts = [REFUSED, REFUSED, DONE], [{}, {}, {}]
    assert judging.conclude(COMMAND, Fault("", ""), {}, runs, facts)[0] is Outcome.REFUSED


def test_how_a_result_came_about_is_not_compared(tmp_path):
    printed = '{"count": 5, "seconds": {"train": 1.5}, "was_finished": true}'
    assert snapshot(tmp_path, printed) == {"printed count": "5"}


def test_damage_keeps_the_modification_time(tmp_path):
    for kind in faults.DAMAGES[:-1]:
        path = tmp_path / kind
        path.write_bytes(bytes(range(256)))
        before, content = path.stat().st_mtime_ns, path.read_bytes()
        faults.damage(path, kind)
        assert path.stat().st_mtime_ns == before
        assert path.read_bytes() != content
