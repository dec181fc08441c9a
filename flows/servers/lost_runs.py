"""Flow runs that lost their process: find them, and have another worker take them over.

If a worker and its run are killed together, or their machine goes down, Prefect keeps the run in
the state Running for ever, where it blocks the only slot of its deployment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import filters
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.states import Cancelled, Crashed, Scheduled

from flows.runtime import leases, notifying
from flows.runtime.home import OWN, Home
from flows.servers import processes
from flows.servers.deployments import client_of

SETTLED_AFTER = timedelta(seconds=20)
"""A run whose state changed more recently than this is not judged: it may be about to start."""
STARTED_AFTER = timedelta(minutes=5)
"""A run that a worker on another machine claimed must have started after this time."""
MOST_STARTS = 3
"""A run that lost its process this many times is not started again: it may be the cause."""
_UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


@dataclass(frozen=True)
class Lost:
    """A flow run that lost its process.

    Attributes:
        name: Name of the run.
        state: Its new state: `Scheduled` if a worker takes it over, else `Crashed` or `Cancelled`.
    """

    name: str
    state: str


def take_over(
    home: Home, api: str, worker: str, settled_after: timedelta = SETTLED_AFTER
) -> list[Lost]:
    """Schedule runs that lost their process again, and return them.

    Finished steps are kept in the home, so the run resumes where it stopped. Flows of other
    projects, which may not be safe to repeat, are marked as crashed, and so are runs that lost
    their process `MOST_STARTS` times. Notifications of these are sent as for any failed run. Runs
    that were being cancelled are marked as cancelled.

    Nothing is done while another process does the same, on this or another machine.

    Args:
        home: Home that all machines share.
        api: Address of the Prefect server's API.
        worker: Name of the worker on whose behalf this is done.
        settled_after: Runs whose state changed more recently than this are left alone.
    """
    with leases.searching(home) as alone, client_of(api) as client:
        if not alone:
            return []
        runs = _under_way(client)
        others = _others_are_up(client, worker)
        started_here = {*_runs_of_processes()}
        lost = [
            run
            for run in runs
            if run.id not in started_here and _is_lost(home, run, others, settled_after)
        ]
        leases.forget(home, {run.id for run in runs if run not in lost})
        return [_settle(client, run) for run in lost]


def _is_lost(home: Home, run: FlowRun, others: bool, settled_after: timedelta) -> bool:
    """Return whether a run under way has no process.

    Args:
        home: Home that all machines share.
        run: A run that no process of this machine belongs to.
        others: Whether other workers are up, to which a run without a lease may belong.
        settled_after: Runs whose state changed more recently are not lost.
    """
    age = datetime.now(UTC) - run.state.timestamp if run.state else timedelta()
    if age < settled_after:
        return False
    is_pending = run.state is not None and run.state.type == StateType.PENDING
    if is_pending:  # not started yet, or not again: an older lease says nothing
        return not others or age >= STARTED_AFTER
    ended = leases.is_lost(home, run.id)
    return not others if ended is None else ended


def _settle(client: SyncPrefectClient, run: FlowRun) -> Lost:
    """Give a lost run its new state."""
    kind = run.state.type if run.state else None
    is_safe = OWN in run.tags or kind == StateType.PENDING  # a pending run has done nothing yet
    state: State[Any]
    if kind == StateType.CANCELLING:
        state = Cancelled(message="its process has ended")
    elif is_safe and run.run_count < MOST_STARTS:
        state = Scheduled(message="its process has ended; resumes where it stopped")
    else:
        state = Crashed(message="its process has ended; the next run resumes where it stopped")
    client.set_flow_run_state(run.id, state)
    if state.is_crashed():
        notifying.of_failure(None, run, state)
    return Lost(run.name, str(state.name))


def _under_way(client: SyncPrefectClient) -> list[FlowRun]:
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=_UNDER_WAY))
    pool = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[OWN]))
    return client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(state=state), work_pool_filter=pool, limit=200
    )


def _others_are_up(client: SyncPrefectClient, worker: str) -> bool:
    return any(
        other.status == WorkerStatus.ONLINE and other.name != worker
        for other in client.read_workers_for_work_pool(OWN)
    )


def _runs_of_processes() -> Iterator[UUID]:
    for process in processes.find(lambda environment: leases.STARTED_BY_WORKER in environment):
        yield UUID(process.environ()[leases.STARTED_BY_WORKER])
