"""Run a flow from the command line.

Around the flow, a Prefect server runs, progress is printed on the console, and Ctrl-C stops the
flow at the next safe point.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from flows.console.interrupts import reporting
from flows.runtime import startup_gc


@contextmanager
def starting() -> Iterator[Callable[[str], Callable[..., Any]]]:
    """Start a Prefect server, and yield a function that returns a flow once the server answers.

    If no Prefect server is configured, an embedded one starts as a separate process. The caller can
    check the request meanwhile, before it asks for the flow. The function imports the flow's
    module and opens MLflow's store while it waits. Its argument is the flow, as `module:name`.
    """
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    here = home.current()
    with ExitStack() as stack:
        server = stack.enter_context(embedded.serve(here, _tell))
        stack.enter_context(reporting())

        def load(entrypoint: str) -> Callable[..., Any]:
            from flows.tracking import connect  # noqa: PLC0415 - slow to import

            module, _, name = entrypoint.partition(":")
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
            connect(here)
            if server:
                stack.enter_context(_without_heartbeats())
                server.wait()
            startup_gc.resume()
            return found

        yield load


@contextmanager
def flow(entrypoint: str) -> Iterator[Callable[..., Any]]:
    """Yield a flow that is ready to be called: the Prefect server answers, MLflow's store is open.

    Args:
        entrypoint: The flow, as `module:name`.
    """
    with starting() as load:
        yield load(entrypoint)


def _without_heartbeats() -> AbstractContextManager[object]:
    """Return a context in which Prefect's flow runs send no heartbeats.

    A server for one command ignores them, and their thread delays the end of a flow by up to a
    second.
    """
    from prefect.settings import (  # noqa: PLC0415 - slow to import
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


def _tell(line: str) -> None:
    from flows.console.printing import err  # noqa: PLC0415

    err.print(f"  {line}")
