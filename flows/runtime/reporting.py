"""Reporters: where a run's progress goes (the console, Prefect's log, or nowhere).

A flow does not know its reporter. `watching` sets the reporter of a context; a task looks up the
current one and reports to it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rnnlm.progress import OnProgress, Progress


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its seconds, whether it was cached, and a summary of its result."""

    seconds: float
    cached: bool
    summary: str


@dataclass
class Reporter:
    """Receives the progress of every step; keeps outcomes, shows nothing. Subclasses show them."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def started(self, step: str) -> None:
        """Handle the start of a step."""

    def progressed(self, step: str, progress: Progress) -> None:
        """Handle a step's progress. An exception raised here ends the step at a safe point."""

    def finished(self, step: str, outcome: Outcome) -> None:
        """Handle the end of a step that succeeded."""
        self.outcomes[step] = outcome


class LogReporter(Reporter):
    """Reports to the log of the current Prefect run."""

    def finished(self, step: str, outcome: Outcome) -> None:
        """Log one line."""
        from prefect import get_run_logger  # noqa: PLC0415 - needs a current run

        super().finished(step, outcome)
        how = "cached" if outcome.cached else f"{outcome.seconds:.1f} s"
        get_run_logger().info("%s: %s (%s)", step, outcome.summary, how)


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current() -> Reporter | None:
    """Return the reporter of this context, if there is one."""
    return _current.get()


@contextmanager
def watching(reporter: Reporter) -> Iterator[Reporter]:
    """Make `reporter` the current one within this context."""
    token = _current.set(reporter)
    try:
        yield reporter
    finally:
        _current.reset(token)


def teller(step: str) -> OnProgress:
    """Return a function that reports a step's progress to the current reporter."""
    reporter = current() or Reporter()
    return lambda progress: reporter.progressed(step, progress)


@contextmanager
def progress(step: str) -> Iterator[OnProgress]:
    """Yield a function that reports a step's progress, with a bar on the Prefect run's page."""
    artifact, report = ProgressArtifact(step), teller(step)

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        report(progress)

    yield tell
    artifact.close()


class ProgressArtifact:
    """A progress bar on the Prefect run's page, for long steps; updated every few seconds.

    Each update is a request to the server, so updates are less frequent if requests take long.
    """

    FIRST_SECONDS = 2.0
    EVERY_SECONDS, MOST_SECONDS = 5.0, 30.0
    MOST_COST = 0.003

    def __init__(self, step: str) -> None:
        """Prepare the bar; nothing is drawn yet."""
        self._step = step
        self._due = time.monotonic() + self.FIRST_SECONDS
        self._id: UUID | None = None

    def update(self, progress: Progress) -> None:
        """Draw the bar if it is due."""
        if time.monotonic() >= self._due:
            began = time.monotonic()
            self._draw(100.0 * progress.done / max(progress.total, 1e-9), progress.note)
            ended = time.monotonic()
            wait = max(self.EVERY_SECONDS, (ended - began) / self.MOST_COST)
            self._due = ended + min(wait, self.MOST_SECONDS)

    def close(self) -> None:
        """Fill the bar, if it was drawn at all."""
        if self._id is not None:
            self._draw(100.0, "done")

    def _draw(self, percent: float, note: str) -> None:
        from prefect import artifacts  # noqa: PLC0415 - heavy

        description = f"{self._step} {note}".strip()
        if self._id is None:
            created: Any = artifacts.create_progress_artifact(percent, description=description)
            self._id = created
        else:
            artifacts.update_progress_artifact(self._id, percent, description=description)
