"""Run a flow from the command line, with Prefect, a console reporter and Ctrl-C handling."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.console.interrupts import reporting
from flows.runtime import startup_gc


@contextmanager
def flow(entrypoint: str) -> Iterator[Callable[..., Any]]:
    """Yield a flow that is ready to be called: the server answers, MLflow's store is open.

    The embedded server starts while the flow's module is imported and MLflow's store is opened,
    which takes as long. In a new home, Prefect and MLflow also create their tables.

    Args:
        entrypoint: The flow, as `module:name`.
    """
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    module, _, name = entrypoint.partition(":")
    here = home.current()
    with embedded.serve(here) as server, reporting():
        found = getattr(importlib.import_module(module), name)
        from flows.tracking import connect  # noqa: PLC0415 - heavy

        connect(here)
        if server:
            server.wait()
        startup_gc.resume()
        yield found
