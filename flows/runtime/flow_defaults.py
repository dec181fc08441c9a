"""Options shared by all flows of this project.

They send a notification when a flow run fails, and give each flow run a tag, to distinguish it from
the runs of other projects on the same Prefect server.
"""

from datetime import datetime
from typing import Any

from prefect.client.orchestration import get_client

from flows.runtime import notifying
from flows.runtime.home import OWN


def mark(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - Prefect's signature
    """Give a flow run the tag by which housekeeping recognizes it on a shared server.

    The tag is set when the run begins. It is not set through Prefect's `tags` context, because that
    would tag the run's tasks as well; each tagged task asks the server for a concurrency slot, and
    waits half a second for the answer.
    """
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, OWN})


def named_time() -> str:
    """Return the current time to the second, as the last part of the name of a flow run."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}"


OURS: dict[str, Any] = {
    "persist_result": False,
    "on_running": [mark],
    "on_failure": [notifying.of_failure],
    "on_crashed": [notifying.of_failure],
}
"""Arguments of the decorator `@flow` of every flow."""
