"""A run on the console: its reporter, and what Ctrl-C and SIGTERM do to it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.console.printing import ConsoleReporter

_TERMINATED = "TerminationSignal"
"""Name of the exception that Prefect's handler, which replaces ours, raises on SIGTERM."""
SECOND_SIGNAL_AFTER = 2.0
"""Seconds without progress after which a signal ends the run at once."""


@contextmanager
def reporting() -> "Iterator[ConsoleReporter]":
    """Report to the console, and stop at the next safe point on Ctrl-C or SIGTERM."""
    from flows.console.printing import ConsoleReporter  # noqa: PLC0415
    from flows.runtime.reporting import watching  # noqa: PLC0415

    reporter = ConsoleReporter()

    def stop(*_: Any) -> None:
        is_working = time.monotonic() - reporter.heard_at < SECOND_SIGNAL_AFTER
        if reporter.interrupted or not is_working:
            raise KeyboardInterrupt
        reporter.interrupted = True

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def arm() -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in before:
            signal.signal(number, stop)

    arm()
    reporter.on_step = arm  # Prefect installs its own handler when a flow begins
    try:
        with watching(reporter):
            yield reporter
    except BaseException as error:
        if type(error).__name__ == _TERMINATED:
            raise KeyboardInterrupt from error
        raise
    finally:
        reporter.close()
        for number, handler in before.items():
            signal.signal(number, handler)
