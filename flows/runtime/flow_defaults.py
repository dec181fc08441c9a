"""Options shared by all flows of this project.

They send a notification when a flow run fails, take a lease that shows that the run is alive, and
give each flow run a tag, to distinguish it from the runs of other projects on the same Prefect
server.
"""

from datetime import datetime
from typing import Any

from prefect.client.orchestration import get_client

from flows.runtime import leases, notifying
from flows.runtime.home import OWN, current


def mark(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - Prefect's signature
    """Take the lease of a flow run, and give it the tag that shows that it is ours.

    The tag is set when the run begins. It is not set through Prefect's `tags` context, because that
    would tag the run's tasks as well; each tagged task asks the server for a concurrency slot, and
    waits half a second for the answer.
    """
    leases.hold(current(), flow_run.id)
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
