"""The storm's own suite: which faults meet which command."""

import os
import random
import signal
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tests.storm import faults
from tests.storm.cases import Command, Fault
from tests.storm.commands import (
    GENERATE,
    GENERATE_WITH_WORKERS,
    HOUSEKEEPING,
    PROMOTE,
    SERVE,
    SWEEP,
    TRAIN,
    TRAIN_AGAIN,
)
from tests.storm.faults import DAMAGED, DAMAGES, DATABASES, SERVERS, SIGNALS, WORKERS, Calls

CallsOf = Callable[..., Calls]
"""Returns the calls of a command: `calls(command, "command")`; see `storming.Storm.calls`."""

Make = Callable[[random.Random], list[Fault]]
NAMES = ("train", "generate", "promote", "housekeeping", "sweep", "serve")
MLFLOW, PREFECT = "mlruns/mlflow.db", "data/prefect/prefect.db"
_REGISTERED = "mlruns/artifacts/tiny/models/*/artifacts/artifacts/model.safetensors"
_OF_GENERATE = (
    _REGISTERED,
    "data/corpora/tiny/*/references/*/keys.npy",
    "data/corpora/tiny/*/references/*/text.npy",
    "data/corpora/tiny/*/references/*/reference.json",
    "data/corpora/tiny/*/references/*/ngram/keys-3.npy",
    "data/corpora/tiny/*/documents-00000.parquet",
    "data/baselines/tiny/*/best.safetensors",
)
_OF_TRAIN = (
    "data/models/tiny/*/model.safetensors",
    "data/models/tiny/*/history.jsonl",
    "data/models/tiny/*/.step.json",
    "data/tokens/tiny/*/tokens-train-00000.parquet",
    "data/tokens/tiny/*/tokenizer.json",
    "data/corpora/tiny/*/documents-00000.parquet",
    "data/baselines/tiny/*/best.safetensors",
    "data/scores/tiny/*/scores.json",
    "data/generated/tiny/*/data/train-00000.parquet",
    "data/generated/tiny/*/manifest.json",
    "data/format.json",
    _REGISTERED,
)


OBSERVED: dict[Command, tuple[str, ...]] = {
    TRAIN: ("command",),
    TRAIN_AGAIN: (),
    GENERATE: ("command", "reads"),
    GENERATE_WITH_WORKERS: ("worker",),
    PROMOTE: ("command", "reads"),
    HOUSEKEEPING: ("command",),
    SWEEP: ("command",),
    SERVE: (),
}
"""The commands of the suite, and what to count in runs of them without a fault."""


class Numbers(NamedTuple):
    """How many faults of each sort a command meets at system calls."""

    kills: int
    disks: int
    reads: int
    signals: int
    clocks: int
    servers: int


@dataclass(frozen=True)
class Case:
    """A command and a fault."""

    command: Command
    fault: Fault

    @property
    def name(self) -> str:
        return f"{self.command.name}: {self.fault.name}"


def cases(
    calls: CallsOf, seed: int, names: Collection[str] = NAMES, size: float = 1.0
) -> Iterator[Case]:
    """Yield all cases of the suite.

    Args:
        calls: See `CallsOf`.
        seed: Seed of all random choices.
        names: Names of the commands to include.
        size: Factor on the number of faults at system calls.
    """
    for command, make in _faults(calls, size):
        if command.name in names:
            for fault in make(random.Random(f"{seed} {command.name}")):
                yield Case(command, fault)


def _faults(calls: CallsOf, size: float) -> Iterator[tuple[Command, Make]]:
    """Yield functions that make the faults of a command, given random numbers."""
    yield from (
        (command, partial(_at_calls, command, calls, size, numbers))
        for command, numbers in {
            TRAIN: Numbers(30, 12, 0, 10, 3, 5),
            GENERATE: Numbers(22, 9, 6, 10, 3, 5),
            PROMOTE: Numbers(12, 6, 3, 4, 1, 0),
            HOUSEKEEPING: Numbers(12, 4, 0, 2, 2, 1),
            SWEEP: Numbers(6, 2, 0, 2, 0, 1),
        }.items()
    )
    yield (
        GENERATE_WITH_WORKERS,
        lambda rng: faults.killed(
            calls(GENERATE_WITH_WORKERS, "worker"), round(6 * size), rng, "worker"
        ),
    )
    for command, folder in ((GENERATE, "data/texts"), (TRAIN, "data/models/tiny/*")):
        yield (
            command,
            lambda rng, command=command, folder=folder: faults.removed(
                calls(command), round(2 * size), rng, folder
            ),
        )
    yield GENERATE, lambda rng: faults.damaged(DAMAGED, _OF_GENERATE, _ways(rng))
    yield TRAIN_AGAIN, lambda rng: faults.damaged(DAMAGED, _OF_TRAIN, _ways(rng))
    for command in (TRAIN_AGAIN, GENERATE, PROMOTE):
        yield command, lambda _: faults.damaged(DATABASES, [MLFLOW], ("cut", "emptied", "zeroed"))
    yield GENERATE, lambda _: faults.damaged(DATABASES, [PREFECT], ("cut", "zeroed"))
    for command in (TRAIN, GENERATE, PROMOTE, HOUSEKEEPING):
        yield command, lambda _: [faults.locked(MLFLOW, 8)]
    yield GENERATE, lambda _: [faults.locked(MLFLOW, 150), faults.locked(PREFECT, 8)]
    if os.geteuid() == 0:
        for command in (TRAIN, GENERATE, PROMOTE):
            yield command, lambda _: [faults.mounted(100_000), faults.mounted(0, read_only=True)]
    for command, others in {
        TRAIN: [TRAIN],
        GENERATE: [GENERATE, TRAIN_AGAIN, HOUSEKEEPING],
        PROMOTE: [PROMOTE],
        SWEEP: [SWEEP],
    }.items():
        yield command, lambda _, others=others: [faults.beside(other) for other in others]
    yield SERVE, lambda _: _while_serving()


def _at_calls(
    command: Command, calls: CallsOf, size: float, numbers: Numbers, rng: random.Random
) -> list[Fault]:
    changes = calls(command)
    found = faults.killed(changes, round(numbers.kills * size), rng)
    found += faults.disks(changes, round(numbers.disks * size), rng)
    found += faults.signals(changes, round(numbers.signals * size), rng)
    found += faults.clocks(changes, round(numbers.clocks * size), rng)
    found += faults.servers(changes, round(numbers.servers * size), rng)
    if numbers.reads:
        opened = calls(command, "reads")
        found += faults.unreadable(opened, round(numbers.reads * size), rng)
    return found


def _while_serving() -> list[Fault]:
    """Return faults that send signals to each of the processes of `rnnlm serve`."""
    return [
        Fault(family, f"{kind.name} to {words}", act=faults.killing(words, kind))
        for words, family in {
            "prefect_server": SERVERS,
            "mlflow": SERVERS,
            "prefect worker": WORKERS,
            "flows.servers.processes": SERVERS,
            "rnnlm serve": SIGNALS,
        }.items()
        for kind in (signal.SIGKILL, signal.SIGHUP)
    ]


def _ways(rng: random.Random) -> list[str]:
    """Return a flipped bit, which is the hardest damage to notice, and one other kind of damage."""
    return ["flipped", rng.choice([kind for kind in DAMAGES if kind != "flipped"])]
