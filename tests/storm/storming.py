"""Run the cases of a suite, some at a time, and judge them."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.storm import commands, injecting, judging
from tests.storm.cases import Command, Judged, Outcome, Run
from tests.storm.faults import Calls
from tests.storm.injecting import compile_shim
from tests.storm.snapshots import agreeing, snapshot
from tests.storm.suite import Case


class Storm:
    """Prepared homes, the facts of runs without a fault, and the lanes in which cases run.

    Args:
        folder: Scratch folder; prepared homes in it are used again.
        jobs: Number of cases that run at a time.
    """

    def __init__(self, folder: Path, jobs: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._jobs = folder, jobs
        self._shim = compile_shim(folder)
        self._wanted: dict[Command, dict[str, Any]] = {}
        self._calls: dict[Any, Calls] = {}
        self._lanes = threading.local()
        self._lane_count = iter(range(1000))
        self._lock = threading.Lock()

    def calls(self, command: Command, who: str = "command", reads: bool = False) -> Calls:
        """Return the system calls of a run without a fault, which it also uses as a reference."""
        key = (command, who, reads)
        if key not in self._calls:
            home = self._lane(command)
            run, self._calls[key] = injecting.calls_of(command, home, self._shim, who, reads)
            self._refer(command, run, home)
        return self._calls[key]

    def run(self, cases: Sequence[Case], tell: Callable[[Judged], None]) -> list[Judged]:
        """Run cases, several at a time, and judge each; `tell` is called as each ends."""
        for command in dict.fromkeys(case.command for case in cases):
            self._reference(command)
        judged = []
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = [pool.submit(self.judge, case) for case in cases]
            for future in as_completed(futures):
                judged.append(future.result())
                tell(judged[-1])
        return judged

    def judge(self, case: Case) -> Judged:
        """Run a case: the command with the fault, the command again, and what a message advised."""
        command, fault = case.command, case.fault
        home = self._lane(command)
        runs, found = [injecting.run(command, home, self._shim, fault)], []
        found.append(snapshot(home, runs[0].out))
        self._again(command, home, runs, found)
        if runs[-1].status and (words := judging.remedy(runs[-1])):
            injecting.run(Command("remedy", tuple(words), "", ()), home, self._shim)
            self._again(command, home, runs, found)
        wanted = self._reference(command)
        outcome, why = judging.conclude(command, fault, wanted, runs, found)
        return Judged(command.name, fault, outcome, why, tuple(runs))

    def _again(self, command: Command, home: Path, runs: list[Run], found: list[Any]) -> None:
        runs.append(injecting.run(command, home, self._shim))
        found.append(snapshot(home, runs[-1].out))

    def _reference(self, command: Command) -> dict[str, Any]:
        if command not in self._wanted:
            home = self._lane(command)
            self._refer(command, injecting.run(command, home, self._shim), home)
        return self._wanted[command]

    def _refer(self, command: Command, run: Run, home: Path) -> None:
        """Keep what a run without a fault and its rerun agree on."""
        if run.status != 0:
            raise RuntimeError(f"rnnlm {' '.join(command.words)} fails without a fault: {run.err}")
        facts = snapshot(home, run.out)
        if command not in self._wanted:
            again = injecting.run(command, home, self._shim)
            facts = agreeing(facts, snapshot(home, again.out))
            other = self._lane(command)
            first = injecting.run(command, other, self._shim)
            self._wanted[command] = agreeing(facts, snapshot(other, first.out))

    def _lane(self, command: Command) -> Path:
        """Return a fresh copy of the command's home, in a folder of this thread."""
        if not hasattr(self._lanes, "path"):
            with self._lock:
                self._lanes.path = self._folder / f"lane-{next(self._lane_count)}" / "home"
            self._lanes.path.parent.mkdir(exist_ok=True)
        with self._lock:
            prepared = commands.prepare(command.home, self._folder / "prepared", self._shim)
        commands.copy(prepared, self._lanes.path)
        path: Path = self._lanes.path
        return path


def choose(cases: Iterable[Case], count: int | None, seed: int) -> list[Case]:
    """Return `count` of the cases, spread over all families and commands; None for all of them."""
    everything = list(cases)
    if count is None or count >= len(everything):
        return everything
    rng = random.Random(seed)
    rng.shuffle(everything)
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in everything:
        groups.setdefault((case.command.name, case.fault.family), []).append(case)
    chosen: list[Case] = []
    while len(chosen) < count:
        for group in groups.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen
