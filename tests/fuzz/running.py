"""Run a target of the fuzzer in a process of its own, and measure its worst case."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from rnnlm.errors import RnnlmError
from tests.fuzz.inputs import entropy
from tests.fuzz.target import Target

MOST_SECONDS = 5.0
"""Most processor time of one case; a child process that it starts has limits of its own."""
MOST_MEMORY = 1 << 30
"""Most bytes by which one case may make the process grow."""
EXAMPLES_AT_ONCE = 2500
"""Number of examples after which Hypothesis starts over, because it keeps all of them in memory."""


@dataclass(frozen=True)
class Outcome:
    """The result of fuzzing a target.

    Attributes:
        name: Name of the target.
        cases: Number of cases.
        refused: Number of cases that ended in an `RnnlmError`.
        seconds: Processor time of the slowest case.
        memory: Bytes by which the process grew at its peak; no case took more.
        failure: The reduced failing case with its traceback; empty if none failed.
    """

    name: str
    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: int = 0
    failure: str = ""


class TooSlowError(Exception):
    """A case that took more than `MOST_SECONDS`."""


class NotOneLineError(Exception):
    """An error whose message has several lines."""


def fuzz(target: Target, cases: int, number: int = 0) -> Outcome:
    """Run some cases of a target in a process of its own, so that a crash does not end this one.

    Args:
        target: The target.
        cases: Least number of cases.
        number: Seed; the same seed gives the same cases.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, target, cases, number))
    process.start()
    theirs.close()
    try:
        outcome: Outcome = mine.recv()
    except EOFError:
        process.join()
        return Outcome(target.name, failure=f"the process ended with {process.exitcode}")
    process.join()
    return outcome


def _send(pipe: Any, target: Target, cases: int, number: int) -> None:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # noqa: PTH112
    try:
        with open(os.devnull, "w") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 2)  # hides what native code prints when it panics
        pipe.send(_Fuzzing(target, folder).run(cases, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    pipe.close()
    os._exit(0)


class _Fuzzing:
    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._outcome = Outcome(target.name)
        self._failed: Any = None

    def run(self, cases: int, number: int) -> Outcome:
        before = _peak()
        while self._outcome.cases < cases and not self._outcome.failure:
            self._run_some(cases - self._outcome.cases, number)
            number += 1
        grown = _peak() - before
        if grown > MOST_MEMORY and not self._outcome.failure:
            self._outcome = replace(self._outcome, failure=f"it grew by {grown:,} bytes")
        return replace(self._outcome, memory=grown)

    def _run_some(self, cases: int, number: int) -> None:
        each = self._target.variations
        examples = min(EXAMPLES_AT_ONCE, -(-cases // each))

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[*HealthCheck],
        )
        @given(self._target.documents, entropy())
        def block(document: Any, how: bytes) -> None:
            for n in range(each):
                self._one(self._target.vary(document, how[8 * n : 8 * n + 8]))

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", category=ResourceWarning)
                block()
        except BaseException:  # noqa: BLE001 - a panic in native code is not an Exception
            told = f"{traceback.format_exc(limit=-6)}\ninput: {self._failed!r:.2000}"
            self._outcome = replace(self._outcome, failure=told)

    def _one(self, document: Any) -> None:
        began, refused = time.process_time(), 0
        try:
            with _alarm():
                self._target.run(document, self._folder)
        except RnnlmError as error:
            refused = 1
            if "\n" in str(error):
                self._failed = document
                raise NotOneLineError(str(error)) from error
        except TooSlowError as error:
            self._failed = document
            raise KeyboardInterrupt from error  # to reduce the input would take hours
        except BaseException:
            self._failed = document
            raise
        self._outcome = replace(
            self._outcome,
            cases=self._outcome.cases + 1,
            refused=self._outcome.refused + refused,
            seconds=max(self._outcome.seconds, time.process_time() - began),
        )


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_number: int, _frame: Any) -> None:
        raise TooSlowError(f"over {MOST_SECONDS} s")

    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def shares(targets: Sequence[Target], cases: int) -> list[int]:
    """Return how many cases of each target to run, so that there are at least `cases` in all."""
    total = sum(target.share for target in targets)
    blocks = [-(-cases * t.share // (total * t.variations)) for t in targets]
    return [int(n) * target.variations for n, target in zip(blocks, targets, strict=True)]
