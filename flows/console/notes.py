"""Print warnings of the library and of the flows on standard error, one line each."""

import logging


class _Printer(logging.Handler):
    """Prints each record as a line that begins with `note`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record."""
        from rich.text import Text  # noqa: PLC0415 - slow to import, and most commands need no note

        from flows.console import printing  # noqa: PLC0415

        message = printing.visible(" ".join(record.getMessage().split()))
        line = printing.hanging(printing.err, f"  {'note':<{printing.STEP_WIDTH}} ", message)
        printing.err.print(Text(line, style="yellow"))


def show() -> None:
    """Print the warnings from now on; further calls change nothing.

    Python then no longer prints errors that log handlers raise, as the logging module advises for
    production. Otherwise, when a server is lost, Prefect's log handler would print broken lines.
    """
    logging.raiseExceptions = False
    for name in ("rnnlm", "flows"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Printer) for handler in logger.handlers):
            logger.addHandler(_Printer(logging.WARNING))
