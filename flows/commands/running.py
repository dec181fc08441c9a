"""Run a flow from the command line.

Around the flow, a Prefect server runs, progress is printed on the console, and Ctrl-C stops the
flow at the next safe point.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.console.interrupts import reporting
from flows.runtime import startup_gc


@contextmanager
def flow(entrypoint: str) -> Iterator[Callable[..., Any]]:
    """Yield a flow that is ready to be called: the Prefect server answers, MLflow's store is open.

    If no Prefect server is configured, an embedded one starts as a separate process. Meanwhile this
    process imports the flow's module and opens MLflow's store, which takes about as long. In a new
    home, Prefect and MLflow also create their database tables.

    Args:
        entrypoint: The flow, as `module:name`.
    """
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    module, _, name = entrypoint.partition(":")
    here = home.current()
    with embedded.serve(here, _tell) as server, reporting():
        found = getattr(importlib.import_module(module), name)
        from flows.tracking import connect  # noqa: PLC0415 - slow to import

        connect(here)
        if server:
            server.wait()
        startup_gc.resume()
        yield found


def _tell(line: str) -> None:
    from flows.console.printing import err  # noqa: PLC0415

    err.print(f"  {line}")
