"""Reporters, which receive the progress of a run and show it to the user.

One reporter shows it on the console, another one in Prefect's log, and the base class shows
nothing. Flows and tasks do not choose the reporter. The caller sets the current reporter with
`watching`, and a task looks it up and reports to it. To a reporter, a *step* is a stage of the
chain (`flows.chain`) or a task outside the chain, such as `generate`.
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
    """How a step ended.

    Attributes:
        seconds: Duration in seconds.
        cached: Whether the result came from the cache.
        summary: Short description of the result.
    """

    seconds: float
    cached: bool
    summary: str


@dataclass
class Reporter:
    """Receives the progress of every step, and keeps the outcomes.

    This base class shows nothing; subclasses do.

    Attributes:
        outcomes: Outcome of each step that has ended, by name of the step.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def started(self, step: str) -> None:
        """Handle the start of a step."""

    def progressed(self, step: str, progress: Progress) -> None:
        """Handle a step's progress.

        A subclass may raise an exception here, which ends the step at a point where it can resume.
        """

    def finished(self, step: str, outcome: Outcome) -> None:
        """Handle the successful end of a step."""
        self.outcomes[step] = outcome


class LogReporter(Reporter):
    """Reports the end of each step to the log of the current Prefect run."""

    def finished(self, step: str, outcome: Outcome) -> None:
        """Log one line: the step, the summary, and the seconds or `cached`."""
        from prefect import get_run_logger  # noqa: PLC0415 - needs a current run

        super().finished(step, outcome)
        how = "cached" if outcome.cached else f"{outcome.seconds:.1f} s"
        get_run_logger().info("%s: %s (%s)", step, outcome.summary, how)


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current() -> Reporter | None:
    """Return the current reporter, or None if none was set with `watching`."""
    return _current.get()


@contextmanager
def watching(reporter: Reporter) -> Iterator[Reporter]:
    """Make a reporter the current one within this context."""
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
    """Yield a function that reports a step's progress.

    It reports to the current reporter, and draws a progress bar on the Prefect run's page.
    """
    artifact, report = ProgressArtifact(step), teller(step)

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        report(progress)

    yield tell
    artifact.close()


class ProgressArtifact:
    """A progress bar on the Prefect run's page, updated every few seconds.

    It appears only if the step takes longer than `FIRST_SECONDS`. Each update is a request to the
    server, so updates are less frequent if requests take long: requests may take a share of
    `MOST_COST` of the time, but the interval is at least `EVERY_SECONDS` and at most
    `MOST_SECONDS`.
    """

    FIRST_SECONDS = 2.0
    EVERY_SECONDS, MOST_SECONDS = 5.0, 30.0
    MOST_COST = 0.003

    def __init__(self, step: str) -> None:
        """Prepare the bar of a step, without drawing it."""
        self._step = step
        self._due = time.monotonic() + self.FIRST_SECONDS
        self._id: UUID | None = None

    def update(self, progress: Progress) -> None:
        """Draw the bar if enough time has passed since it was last drawn."""
        if time.monotonic() >= self._due:
            began = time.monotonic()
            self._draw(100.0 * progress.done / max(progress.total, 1e-9), progress.note)
            ended = time.monotonic()
            wait = max(self.EVERY_SECONDS, (ended - began) / self.MOST_COST)
            self._due = ended + min(wait, self.MOST_SECONDS)

    def close(self) -> None:
        """Draw the bar as full, unless it was never drawn."""
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
