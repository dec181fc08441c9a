"""Test which flow runs count as lost, and what becomes of them, on a real Prefect server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from filelock import FileLock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
from prefect.states import Cancelling, Pending, Running

from flows.runtime import locks
from flows.runtime.home import OWN, Home
from flows.servers import deployments, embedded, lost_runs
from flows.servers.lost_runs import Lost

pytestmark = pytest.mark.slow
WORKER = "rnnlm-here"
Start = Callable[..., FlowRun]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.PrefectServer]:
    with embedded.serve(Home(tmp_path_factory.mktemp("home"))) as server:
        assert server
        server.wait()
        with temporary_settings(updates={PREFECT_API_AUTH_STRING: server.credentials}):
            deployments.make_pool(server.url)
            yield server


@pytest.fixture
def client(server: embedded.PrefectServer) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(server.url, auth_string=server.credentials) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def start(client: SyncPrefectClient, home: Home) -> Iterator[Start]:
    """Return a function that makes a flow run in a state; the run is deleted after the test."""
    flow = client.create_flow_from_name("toy")
    deployment = client.create_deployment(flow, "toy", work_pool_name=OWN)
    made: list[UUID] = []

    def start(state: State, *, tags: tuple[str, ...] = (OWN,), lease: bool = True) -> FlowRun:
        run = client.create_flow_run_from_deployment(deployment, tags=tags)
        made.append(run.id)
        client.set_flow_run_state(run.id, state, force=True)
        if lease:
            locks.runs(home).mkdir(parents=True, exist_ok=True)
            (locks.runs(home) / f"{run.id}.lock").touch()
        return client.read_flow_run(run.id)

    yield start
    for run in made:
        client.delete_flow_run(run)


@pytest.fixture
def another_worker(client: SyncPrefectClient) -> None:
    client.send_worker_heartbeat(OWN, "rnnlm-elsewhere", 1000)


def sweep(home: Home, server: embedded.PrefectServer, seconds: float = 0.0) -> list[Lost]:
    return lost_runs.take_over(home, server.url, WORKER, timedelta(seconds=seconds))


@pytest.mark.usefixtures("another_worker")
def test_a_run_whose_process_has_ended_is_scheduled_again(home, server, client, start):
    run = start(Running())
    assert sweep(home, server) == [Lost(run.name, "Scheduled")]
    state = client.read_flow_run(run.id).state
    assert state and state.is_scheduled()
    assert sweep(home, server) == []


@pytest.mark.usefixtures("another_worker")
def test_a_run_whose_process_holds_its_lease_is_left_alone(home, server, start):
    run = start(Running())
    with FileLock(locks.runs(home) / f"{run.id}.lock"):
        assert sweep(home, server) == []
    assert sweep(home, server, seconds=60) == []  # its state is too new to judge
    assert sweep(home, server) == [Lost(run.name, "Scheduled")]


@pytest.mark.parametrize(
    ("state", "tags", "starts", "becomes"),
    [
        (Running(), (), 1, "Crashed"),
        (Cancelling(), (OWN,), 1, "Cancelled"),
        (Running(), (OWN,), 3, "Crashed"),
    ],
    ids=["another project's", "being cancelled", "lost three times"],
)
@pytest.mark.usefixtures("another_worker")
def test_a_run_that_may_not_be_repeated_ends(
    home, server, client, start, state, tags, starts, becomes
):
    run = start(Running(), tags=tags)
    for _ in range(starts - 1):
        client.set_flow_run_state(run.id, Pending(), force=True)
        client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(run.id, state, force=True)
    assert sweep(home, server) == [Lost(run.name, becomes)]
    assert client.read_flow_run(run.id).state_name == becomes


def test_a_run_without_a_lease_may_belong_to_another_worker(home, server, client, start):
    run = start(Running(), lease=False)
    client.send_worker_heartbeat(OWN, "rnnlm-elsewhere", 1000)
    assert sweep(home, server) == []
    for worker in client.read_workers_for_work_pool(OWN):
        client.request("DELETE", f"/work_pools/{OWN}/workers/{worker.name}")
    assert sweep(home, server) == [Lost(run.name, "Scheduled")]
