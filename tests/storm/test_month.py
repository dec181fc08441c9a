"""Test that scheduled work ends the same, whatever faults its runs meet.

Two homes live the same days of the month that `python benchmarks/month.py` simulates. In one of
them, each run meets a fault and is then run again, as the schedule would do.
"""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import month
from tests.storm import faults, injecting, judging
from tests.storm.cases import Command, Fault
from tests.storm.injecting import compile_shim
from tests.storm.snapshots import snapshot

pytestmark = [pytest.mark.slow, pytest.mark.soak]
FIRST_DAY, LAST_DAY = 9, month.GARBAGE_DAY
"""They include an edited corpus, a weekend, and a corpus that turns to garbage."""
OWNS = ("version", "alias", "reason", "runs", "packaged", "file data/texts")
FAMILIES = (faults.killed, faults.disks, faults.signals, faults.clocks)
TRAIN = Command("train", ("train", "colors.toml", "--json"), "", OWNS)
HOUSEKEEPING = Command(
    "housekeeping",
    ("housekeeping", "--apply", "--keep-days", "0", "--keep-versions", "3", "--json"),
    "",
    OWNS,
)


def generate(day: int) -> Command:
    """Return the command that generates a day's texts."""
    words = ("generate", "colors", "--count", "100", "--seed", str(day), "--json")
    return Command("generate", (*words, "--out", f"data/texts/{day}"), "", OWNS)


def facts(home: Path) -> dict[str, Any]:
    """Return what a home has that must not depend on faults."""
    return {name: value for name, value in snapshot(home).items() if name.startswith(OWNS)}


def endure(command: Command, home: Path, shim: Path, fault: Fault) -> None:
    """Run a command with a fault, run it again, and do what its message says if it still fails."""
    runs = [injecting.run(command, home, shim, fault), injecting.run(command, home, shim)]
    if runs[-1].status and (words := judging.remedy(runs[-1])):
        injecting.run(Command("remedy", tuple(words), "", ()), home, shim)
        runs.append(injecting.run(command, home, shim))
    for run in runs:
        assert judging.failing(run) is None, (fault.name, judging.failing(run))
    assert runs[-1].status == 0, (fault.name, runs[-1].err)


def test_days_full_of_faults_end_like_days_without(tmp_path: Path):
    shim, chance = compile_shim(tmp_path), random.Random(22)
    quiet, stormy = tmp_path / "quiet", tmp_path / "stormy"
    met: list[str] = []
    for home in (quiet, stormy):
        home.mkdir()
        config = month.CONFIG.format(source="colors.txt", budget="5 epochs", compare=0)
        (home / "colors.toml").write_text(config)
    for day in range(FIRST_DAY, LAST_DAY + 1):
        for home in (quiet, stormy):
            month.write_corpus(home / "colors.txt", day)
        for command in (TRAIN, generate(day), HOUSEKEEPING):
            done, calls = injecting.calls_of(command, quiet, shim, "command")
            assert done.status == 0, done.err
            fault = chance.choice(chance.choice(FAMILIES)(calls, 8, chance))
            met.append(f"day {day}, {command.name}: {fault.name}")
            sys.stdout.write(f"{met[-1]}\n")
            endure(command, stormy, shim, fault)
            assert facts(stormy) == facts(quiet), met[-1]
        for home in (quiet, stormy):
            month.let_a_day_pass(home)
    assert len(met) == 3 * (LAST_DAY + 1 - FIRST_DAY)
