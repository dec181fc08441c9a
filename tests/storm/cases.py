"""What a case of the storm is made of: a command, a fault, and the outcome."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

Facts = Mapping[str, Any]
"""What is compared, by name: digests of files, versions, runs, and values of the printed result."""


class Outcome(StrEnum):
    """How a case ended, from best to worst."""

    RECOVERED = "recovered"
    """The run or the rerun made what a run without a fault makes, exactly once."""
    REFUSED = "refused"
    """One line said what to do, and that helped; or only the user can mend what the fault broke."""
    REFUSED_FOR_GOOD = "refused for good"
    """The rerun fails, and what the message says does not help."""
    TRACEBACK = "traceback"
    """A traceback, a crash, or a failure without an error message."""
    HUNG = "hung"
    """A run did not end in time, or left processes behind."""
    LOST = "lost"
    """Something that a run without a fault makes is missing, with exit status 0."""
    DOUBLED = "doubled"
    """A version or an MLflow run exists twice."""
    SILENT = "silent"
    """Other results, with exit status 0."""
    NOT_RUN = "not run"
    """The harness failed, not the program."""

    @property
    def is_good(self) -> bool:
        return self in (Outcome.RECOVERED, Outcome.REFUSED)


@dataclass(frozen=True)
class Command:
    """A command line to run.

    Attributes:
        name: Name in the table.
        words: The words after `rnnlm`.
        home: Name of the prepared home that it runs in.
        owns: Prefixes of the facts that the command is responsible for.
        ready: For a command that runs until it is stopped: what it prints when it is ready.
        limit: Seconds after which a run counts as hung.
    """

    name: str
    words: tuple[str, ...]
    home: str
    owns: tuple[str, ...]
    ready: str = ""
    limit: float = 240.0


@dataclass(frozen=True)
class Moment:
    """A system call on a file of the home at which something happens.

    Attributes:
        number: Number of the call, counted from 1 over all processes of the kind.
        do: What happens; see `shim.c`. With `stop`, the process stops, `Fault.act` is called, and
            the process continues.
        who: Kind of process: `command`, `server` or `worker`.
        reads: Whether to count files opened for reading, instead of changes.
    """

    number: int
    do: str
    who: str = "command"
    reads: bool = False


@dataclass
class Scene:
    """A run that is under way, for faults that act from outside.

    Attributes:
        home: The home.
        mark: Value of the environment variable `STORM_CASE` of all processes of the case.
        process: Id of the command's process; 0 before it starts.
        notes: What the fault did, for the report.
    """

    home: Path
    mark: str
    process: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        family: Kind of fault, a row of the table.
        name: Name of the fault.
        moment: When it happens during the run; None if it does not depend on a system call.
        act: Called at the moment, or once a command that serves is ready.
        around: Called before the run; the context that it returns lasts as long as the run.
        beside: Another command that starts at the same time.
        environment: Environment variables of the run.
        may_refuse: Whether the fault destroys what only the user can restore.
        destroys: Whether the fault itself removes results, so that only the rerun is compared.
    """

    family: str
    name: str
    moment: Moment | None = None
    act: Callable[[Scene], None] | None = None
    around: Callable[[Scene], AbstractContextManager[Any]] | None = None
    beside: Command | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    may_refuse: bool = False
    destroys: bool = False


@dataclass(frozen=True)
class Run:
    """A finished run of a command.

    Attributes:
        status: Exit status; negative for a signal; None if it did not end in time.
        out: Standard output.
        err: Standard error.
        seconds: Duration.
        left_behind: Command lines of the processes that outlived it.
    """

    status: int | None
    out: str
    err: str
    seconds: float
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """The outcome of a case.

    Attributes:
        command: Name of the command.
        fault: The fault.
        outcome: The outcome.
        why: What was found, in one line.
        runs: The run with the fault, the rerun, and any further runs.
    """

    command: str
    fault: Fault
    outcome: Outcome
    why: str
    runs: tuple[Run, ...]
