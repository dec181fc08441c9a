"""When Prefect retries a failed task: only after faults that may be transient.

A transient fault is, for example, a locked database or an unreachable server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rnnlm.errors import RnnlmError

DELAYS_SECONDS = (5.0, 30.0, 120.0)
"""Seconds to wait before the second, third and fourth try of a task that failed, in a run that was
not started by hand."""
_PASSING = ("database is locked", "connection", "timed out", "timeout", "temporarily", "503", "502")
"""Words that occur in the error messages of MLflow, Prefect or databases on transient faults."""
_patient: ContextVar[bool] = ContextVar("patient", default=False)


@contextmanager
def patiently(is_patient: bool) -> Iterator[None]:
    """Set whether tasks in this context retry after transient faults.

    Runs that were started by hand do not retry: the user would rather see the error at once.
    """
    token = _patient.set(is_patient)
    try:
        yield
    finally:
        _patient.reset(token)


def options() -> dict[str, Any]:
    """Return the arguments for Prefect's decorator `@task` that control retries."""
    if not _patient.get():
        return {"retries": 0}
    delays = [*DELAYS_SECONDS]
    return {
        "retries": len(delays),
        "retry_delay_seconds": delays,
        "retry_condition_fn": _of_a_task,
    }


def can_help(error: BaseException | None) -> bool:
    """Return whether a retry may help, because the network or a database was briefly unavailable.

    A retry does not help after a user error, such as bad input. It may help if the user error was
    caused by a network error, such as a file that could not be fetched; so the error's chain of
    causes is searched.
    """
    while error is not None:
        module = type(error).__module__.partition(".")[0]
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        if module in ("httpx", "httpcore", "requests", "urllib3"):
            return True
        if module in ("mlflow", "sqlalchemy", "sqlite3", "prefect") and not isinstance(
            error, RnnlmError
        ):
            said = str(error).lower()
            if any(word in said for word in _PASSING):
                return True
        error = error.__cause__
    return False


def _of_a_task(task: Any, task_run: Any, state: Any) -> bool:  # noqa: ARG001 - Prefect's signature
    return can_help(state.data if isinstance(state.data, BaseException) else None)
