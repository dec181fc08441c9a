"""A run on the console: its reporter, and what Ctrl-C and SIGTERM do to it."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.console.printing import ConsoleReporter

SECOND_SIGNAL_AFTER = 2.0
"""Seconds of silence after which a signal ends the run at once."""


@contextmanager
def reporting() -> "Iterator[ConsoleReporter]":
    """Report to the console, and turn Ctrl-C and SIGTERM into an end at the next safe point."""
    from flows.console.printing import ConsoleReporter  # noqa: PLC0415
    from flows.reporting import watching  # noqa: PLC0415

    reporter = ConsoleReporter()

    def stop(*_: Any) -> None:
        is_working = time.monotonic() - reporter.heard_at < SECOND_SIGNAL_AFTER
        if reporter.interrupted or not is_working:
            raise KeyboardInterrupt
        reporter.interrupted = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with watching(reporter):
            yield reporter
    finally:
        reporter.close()
        for number, handler in before.items():
            signal.signal(number, handler)
