"""When to try a failed step again: where that can help, and never where it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rnnlm.errors import RnnlmError

DELAYS_SECONDS = (5.0, 30.0, 120.0)
"""Before the second, third and fourth try of a run that nobody watches."""
_PASSING = ("database is locked", "connection", "timed out", "timeout", "temporarily", "503", "502")
"""What a store says of trouble that passes."""
_patient: ContextVar[bool] = ContextVar("patient", default=False)


@contextmanager
def patiently(is_patient: bool) -> Iterator[None]:
    """Within this context, wait and try again where that can help; a person would rather know."""
    token = _patient.set(is_patient)
    try:
        yield
    finally:
        _patient.reset(token)


def options() -> dict[str, Any]:
    """Return a task's options for its retries."""
    if not _patient.get():
        return {"retries": 0}
    delays = [*DELAYS_SECONDS]
    return {
        "retries": len(delays),
        "retry_delay_seconds": delays,
        "retry_condition_fn": _of_a_task,
    }


def can_help(error: BaseException | None) -> bool:
    """Return whether trying again may help: the network or a database was busy for a moment.

    A fault of the user's, such as bad input, stays what it is; but one that was caused by the
    network, such as a file that could not be fetched, may pass.
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
