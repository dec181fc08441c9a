"""Send notifications of three events, through the library Apprise.

The events are: a run failed, a version became champion, and a champion predicts fresh text worse
than its own test split. The setting `retraining.notify` lists the events to report.

The addresses to notify are secret, so they are never stored in files. The environment variable
`RNNLM_NOTIFY`, or else Prefect's secret block `rnnlm-notify`, holds one or more Apprise addresses,
separated by spaces, such as `jsons://example.org/hook` for a webhook, or `slack://…`.
"""

import logging
import os
from pathlib import Path
from typing import Any

from rnnlm.config import Experiment, RetrainingConfig, load
from rnnlm.config.retraining import Event
from rnnlm.errors import RnnlmError

ADDRESSES = "RNNLM_NOTIFY"
SECRET = "rnnlm-notify"  # noqa: S105 - the name of a secret


def tell(config: RetrainingConfig, event: Event, title: str, body: str) -> bool:
    """Send a message about an event to all addresses, if the configuration lists the event.

    A failed delivery is logged and raises nothing, so that it does not fail the run.

    Args:
        config: Settings that list the events to report.
        event: The kind of event.
        title: Title of the message.
        body: Body of the message.

    Returns:
        Whether a message was sent and arrived at every address.
    """
    addresses = _addresses() if event in config.notify else []
    if not addresses:
        return False
    from apprise import Apprise  # noqa: PLC0415 - slow to import

    logging.getLogger("apprise").disabled = True  # it logs addresses it cannot parse
    teller = Apprise()
    known = all(teller.add(address) for address in addresses)
    arrived = bool(teller.notify(body=body, title=title)) and known
    if not arrived:
        logging.getLogger(__name__).warning(
            "could not notify every address in %s: %s", ADDRESSES, title
        )
    return arrived


def of_failure(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - Prefect's signature
    """Send a notification of a flow run that failed or crashed.

    Nothing is sent for runs started by hand, as the user is watching them. Nothing is sent either
    if the previous run of the same deployment (a flow that Prefect's server starts, for example on
    a schedule) failed with the same message: a broken corpus is reported once, not every quarter of
    an hour.
    """
    parameters = flow_run.parameters
    by_itself = "manual" if flow_run.deployment_id is None else "schedule"
    if parameters.get("trigger", by_itself) == "manual":
        return
    if _is_known(flow_run, state):
        return
    config = _config(parameters.get("config"))
    title = f"{flow_run.name}: the run {(state.name or 'failed').lower()}"
    tell(config, "failed", title, " ".join(str(state.message or "").split())[:500])


def _is_known(flow_run: Any, state: Any) -> bool:
    """Return whether the previous run of the same deployment ended with the same message."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - heavy, and absent outside flows

    if flow_run.deployment_id is None or not PREFECT_API_URL.value():
        return False
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.client.schemas import filters, sorting  # noqa: PLC0415
    from prefect.client.schemas.objects import StateType  # noqa: PLC0415

    ended = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED]
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_run_filter=filters.FlowRunFilter(
                    id=filters.FlowRunFilterId(not_any_=[flow_run.id]),
                    deployment_id=filters.FlowRunFilterDeploymentId(any_=[flow_run.deployment_id]),
                    state=filters.FlowRunFilterState(
                        type=filters.FlowRunFilterStateType(any_=ended)
                    ),
                ),
                sort=sorting.FlowRunSort.END_TIME_DESC,
                limit=1,
            )
    except Exception as error:  # noqa: BLE001 - better to notify twice than never
        logging.getLogger(__name__).warning("could not read the previous run's state: %s", error)
        return False
    before = runs[0].state if runs else None
    return before is not None and (before.name, before.message) == (state.name, state.message)


def _addresses() -> list[str]:
    given = os.environ.get(ADDRESSES)
    if given is None:
        given = _secret()
    return given.split()


def _secret() -> str:
    from prefect.blocks.system import Secret  # noqa: PLC0415 - heavy, and absent outside flows
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415

    if not PREFECT_API_URL.value():  # no server to ask
        return ""
    try:
        return str(Secret.load(SECRET).get())  # type: ignore[union-attr]
    except ValueError:  # there is no such block
        return ""
    except Exception as error:  # noqa: BLE001 - a notification never fails a run
        logging.getLogger(__name__).warning("could not read %s: %s", SECRET, error)
        return ""


def _config(config: Any) -> RetrainingConfig:
    """Return the retraining settings of a flow run; the defaults if they cannot be read.

    Args:
        config: The run's parameter `config`: an experiment, or the path of its TOML file.
    """
    try:
        if isinstance(config, str):
            return load(Path(config)).retraining
        return Experiment.model_validate(config).retraining
    except (RnnlmError, ValueError):
        return RetrainingConfig()
