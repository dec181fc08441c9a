"""Show the progress of a run on the console, and stop the run on Ctrl-C or SIGTERM.

The first signal stops the run at its next progress report, which is a point where it is safe to
stop. A second signal stops it at once.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.console.printing import ConsoleReporter

_TERMINATED = "TerminationSignal"
"""Name of the exception that Prefect's signal handler raises on SIGTERM. Prefect replaces the
handler of this module by its own when a flow begins."""
SECOND_SIGNAL_AFTER = 2.0
"""If no progress was reported for this many seconds, even the first signal ends the run at once."""


@contextmanager
def reporting() -> "Iterator[ConsoleReporter]":
    """Print progress on the console; on Ctrl-C or SIGTERM, stop at the next progress report.

    The stop is a `KeyboardInterrupt`. The previous signal handlers are restored at the end.
    """
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
    reporter.on_step = arm  # Prefect installs its own handlers when a flow begins: replace them
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
