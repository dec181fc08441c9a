"""A stage as a Prefect task: its state says what came of it, a bar shows how far it is.

Prefect is imported where a stage runs, not before: a plan needs none of it, and the command line
must have started its server before Prefect reads its settings.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from flows.chain import records
from flows.chain.records import Step
from flows.runtime import reporting, retrying
from rnnlm.progress import OnProgress, Progress

R = TypeVar("R", bound=BaseModel)


def run_as_task(name: str, work: Callable[[], tuple[R, bool, str]]) -> R:
    """Do some work as a Prefect task, or, outside of a flow run, as it is.

    The task run's state is named Cached or Completed and carries the summary. Prefect keeps no
    result of its own: the record in the step's folder is the one truth.

    Args:
        name: Of the stage.
        work: Returns the result, whether it was recalled, and a summary in a few words.
    """
    from prefect import task  # noqa: PLC0415
    from prefect.context import FlowRunContext  # noqa: PLC0415
    from prefect.states import Completed  # noqa: PLC0415

    def reported() -> tuple[R, bool, str]:
        reporter = reporting.current() or reporting.Reporter()
        reporter.started(name)
        began = time.monotonic()
        result, cached, summary = work()
        reporter.finished(name, reporting.Outcome(time.monotonic() - began, cached, summary))
        return result, cached, summary

    if FlowRunContext.get() is None:
        return reported()[0]

    @task(name=name, persist_result=False, **retrying.options())
    def body() -> Any:
        result, cached, summary = reported()
        return Completed(name="Cached" if cached else "Completed", message=summary, data=result)

    state: Any = body()
    result: R = state.data.result
    return result


def perform(step: Step[R], work: Callable[[Path, OnProgress], R]) -> tuple[R, bool]:
    """Perform a step with a bar on the run's page; see `records.perform`."""
    tell_reporter = teller(step.name)
    artifact = reporting.ProgressArtifact(step.name)

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        tell_reporter(progress)

    result, cached = records.perform(step, work, tell)
    artifact.close()
    return result, cached


def teller(step: str) -> OnProgress:
    """Return a function that tells the current reporter of a step's progress."""
    reporter = reporting.current() or reporting.Reporter()
    return lambda progress: reporter.progressed(step, progress)
