"""Run the cases of a suite, several at a time, and judge them."""

import dataclasses
import functools
import hashlib
import json
import random
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.storm import commands, injecting, judging
from tests.storm.cases import Command, Judged, Outcome, Run
from tests.storm.faults import Calls
from tests.storm.injecting import compile_shim
from tests.storm.snapshots import agreeing, snapshot
from tests.storm.suite import Case


@dataclass(frozen=True)
class Observed:
    """What runs of a command without a fault did.

    Attributes:
        facts: What they agree on.
        calls: Their system calls on files of the home, by what was counted.
    """

    facts: dict[str, Any]
    calls: dict[str, Calls]


class Storm:
    """Prepared homes, observations of runs without a fault, and the lanes in which cases run.

    Args:
        folder: Scratch folder. Homes and observations in it are used again, so a folder must not
            be used for two versions of the program.
        jobs: Number of cases that run at a time.
    """

    def __init__(self, folder: Path, jobs: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._jobs = folder, jobs
        self._shim = compile_shim(folder)
        self._observed: dict[Command, Observed] = {}
        self._lanes = threading.local()

    def observe(self, wanted: Mapping[Command, Sequence[str]]) -> None:
        """Run commands without a fault, several at a time, and keep what they do.

        Args:
            wanted: For each command, which calls to count: `command` or `worker`, for the changes
                that such processes make, or `reads`.
        """
        for name in dict.fromkeys(command.home for command in wanted):
            commands.prepare(name, self._folder / "prepared", self._shim)
        with ThreadPoolExecutor(self._jobs) as pool:
            done = pool.map(self._observe, wanted, wanted.values())
            self._observed |= dict(zip(wanted, done, strict=True))

    def calls(self, command: Command, counted: str = "command") -> Calls:
        """Return the system calls of an observed command."""
        return self._observed[command].calls[counted]

    def run(self, cases: Sequence[Case], tell: Callable[[Judged], None]) -> list[Judged]:
        """Run cases, several at a time, and judge each; `tell` is called as each ends."""
        judged = []
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = [pool.submit(self.judge, case) for case in cases]
            for future in as_completed(futures):
                judged.append(future.result())
                tell(judged[-1])
        return judged

    def judge(self, case: Case) -> Judged:
        """Return the outcome of a case; an error of the harness is one too."""
        try:
            return self._judge(case)
        except Exception:  # noqa: BLE001
            why = traceback.format_exc()
            return Judged(case.command.name, case.fault, Outcome.NOT_RUN, why, ())

    def _judge(self, case: Case) -> Judged:
        """Run a command with its fault, then again, then any remedy a message names; judge this."""
        command, fault = case.command, case.fault
        home = self._lane(command)
        runs, found = [injecting.run(command, home, self._shim, fault)], []
        found.append(snapshot(home, runs[0].out))
        self._again(command, home, runs, found)
        if runs[-1].status and (words := judging.remedy(runs[-1])):
            injecting.run(Command("remedy", tuple(words), "", ()), home, self._shim)
            self._again(command, home, runs, found)
        wanted = self._observed[command].facts
        outcome, why = judging.conclude(command, fault, wanted, runs, found)
        return Judged(command.name, fault, outcome, why, tuple(runs))

    def _again(self, command: Command, home: Path, runs: list[Run], found: list[Any]) -> None:
        runs.append(injecting.run(command, home, self._shim))
        found.append(snapshot(home, runs[-1].out))

    def _observe(self, command: Command, counted: Sequence[str]) -> Observed:
        """Run a command at least twice in fresh homes, and once more in the last of them."""
        key = hashlib.sha256(repr((command, counted)).encode()).hexdigest()[:16]
        kept = self._folder / f"observed-{key}.json"
        if kept.exists():
            return Observed(**json.loads(kept.read_text("utf-8")))
        calls, facts = dict[str, Calls](), list[dict[str, Any]]()
        for what in [*counted, "command", "command"][: max(2, len(counted))]:
            home = self._lane(command)
            run, found = injecting.calls_of(command, home, self._shim, what)
            if run.status != 0:
                raise RuntimeError(f"rnnlm {' '.join(command.words)} without a fault: {run.err}")
            calls.setdefault(what, found)
            facts.append(snapshot(home, run.out))
        again = injecting.run(command, home, self._shim)
        facts.append(snapshot(home, again.out))
        observed = Observed(functools.reduce(agreeing, facts), calls)
        kept.write_text(json.dumps(dataclasses.asdict(observed)), "utf-8")
        return observed

    def _lane(self, command: Command) -> Path:
        """Return a fresh copy of the command's home, in a folder of this thread."""
        if not hasattr(self._lanes, "path"):
            self._lanes.path = Path(tempfile.mkdtemp(prefix="lane-", dir=self._folder), "home")
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
