"""Running a flow from the command line: Prefect around it, the console told, Ctrl-C heard."""

import importlib
from typing import Any

from flows.console.interrupts import reporting
from flows.runtime import startup_gc


def run_flow(entrypoint: str, *args: Any, **kwargs: Any) -> Any:
    """Run a flow to its end and return what it returns.

    The embedded server comes up while the flow's module is imported and MLflow's store is opened,
    which take as long; in a new home both make their tables.

    Args:
        entrypoint: module:name.
        args: The flow's.
        kwargs: The flow's.
    """
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    module, _, name = entrypoint.partition(":")
    here = home.current()
    with embedded.serve(here) as server, reporting() as reporter:
        flow = getattr(importlib.import_module(module), name)
        from flows.tracking import connect  # noqa: PLC0415 - heavy

        connect(here)
        if server:
            server.wait()
        startup_gc.resume()
        result = flow(*args, **kwargs)
        reporter.close()
    return result
