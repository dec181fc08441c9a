"""What all flows of the project have in common: how each is told of, and marked as ours."""

from typing import Any

from prefect.client.orchestration import get_client

from flows.runtime import notifying
from flows.runtime.home import OWN


def mark(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - Prefect's signature
    """Give a flow run the tag by which housekeeping knows it on a server that others share.

    It gets it as it begins: a tag in the context would be its tasks' too, each of which then asks
    the server for a place, and waits half a second for the answer.
    """
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, OWN})


OURS: dict[str, Any] = {
    "persist_result": False,
    "on_running": [mark],
    "on_failure": [notifying.of_failure],
    "on_crashed": [notifying.of_failure],
}
"""Arguments of every `@flow`."""
