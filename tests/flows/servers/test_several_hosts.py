"""Test workers on several hosts that share a home, whose paths differ."""

import contextlib
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType

from flows.runtime.home import Home
from flows.tracking import CHECKPOINT_TAG, connect
from tests.conftest import fork_cli, lines, write_tiny
from tests.flows.conftest import signed_in
from tests.flows.hosts import Host, hosts
from tests.flows.serving import (
    PASSWORD,
    Running,
    environment,
    free_ports,
    postgresql,
    wait_until,
)

pytestmark = [pytest.mark.service, pytest.mark.slow]
PREFECT_YAML = """
pull:
  - rnnlm_flows.enter_project: {}
deployments:
  - name: retrain
    entrypoint: rnnlm_flows.retrain
    parameters: {config: tiny.toml, trigger: schedule}
    work_pool: {name: rnnlm}
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
"""
TAKEN_OVER_SECONDS = 60.0
SOAK_SECONDS = 600.0


@dataclass(frozen=True)
class Cluster:
    """Servers on this machine and hosts with workers.

    Attributes:
        home: The home that all share.
        hosts: The hosts.
        addresses: What `rnnlm serve` printed.
        client: A client of its Prefect server.
    """

    home: Path
    hosts: list[Host]
    addresses: dict[str, Any]
    client: SyncPrefectClient

    def work(self, host: Host) -> str:
        """Start a worker on a host; return its name once it is up."""
        ports = {name: self.addresses[name].split(":")[2] for name in ("prefect", "mlflow")}
        process = host.start(
            "work",
            "--json",
            PREFECT_API_URL=f"http://{host.server}:{ports['prefect']}/api",
            MLFLOW_TRACKING_URI=f"http://{host.server}:{ports['mlflow']}",
            RNNLM_PASSWORD=PASSWORD,
        )
        assert process.stdout
        return str(json.loads(process.stdout.readline())["worker"])

    def retrain(self, **settings: str) -> UUID:
        """Create a run of the deployment with some settings; return its id."""
        deployment = self.client.read_deployment_by_name("retrain/retrain")
        pairs = [f"{name.replace('__', '.')}={value}" for name, value in settings.items()]
        run = self.client.create_flow_run_from_deployment(
            deployment.id, parameters={"settings": pairs}
        )
        return run.id

    def state(self, run: UUID) -> StateType | None:
        found = self.client.read_flow_run(run).state
        return found.type if found else None

    def host_of(self, run: UUID) -> Host | None:
        """Return the host on which a run has a process."""
        for host in self.hosts:
            if any(
                environment(process).get("PREFECT__FLOW_RUN_ID") == str(run)
                for process in host.processes()
            ):
                return host
        return None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two hosts without workers, and servers without work."""
    home = tmp_path / "home"
    home.mkdir()
    write_tiny(home)
    (home / "prefect.yaml").write_text(PREFECT_YAML)
    with contextlib.ExitStack() as stack:
        stack.enter_context(signed_in())
        there = stack.enter_context(hosts(home, tmp_path, 2))
        database = stack.enter_context(postgresql())
        names = [word for host in there for word in ("--allow-host", host.server)]
        serving = Running(
            home,
            *("serve", "--json", "--no-worker", "--host", "0.0.0.0", *names, *free_ports()),
            RNNLM_PASSWORD=PASSWORD,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://{database}/prefect",
            MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg://{database}/mlflow",
            MLFLOW_ARTIFACTS_DESTINATION=str(home / "artifacts"),
        )
        stack.callback(serving.end, signal.SIGTERM)
        addresses = serving.addresses()
        client = SyncPrefectClient(addresses["prefect_api_url"], auth_string=f"rnnlm:{PASSWORD}")
        yield Cluster(home, there, addresses, stack.enter_context(client))


def test_a_run_of_a_host_that_goes_down_is_taken_over_within_a_minute(cluster: Cluster):
    first, second = cluster.hosts
    assert cluster.work(first) == f"rnnlm-{first.name}"
    assert cluster.work(second) == f"rnnlm-{second.name}"
    run = cluster.retrain(training__budget="300 epochs", training__patience="1000")
    (saved,) = wait_until(
        lambda: [*cluster.home.glob("data/models/tiny/*/last.safetensors")], "one in mid-training"
    )
    lost = cluster.host_of(run)
    assert lost
    lost.go_down()
    began = time.monotonic()
    other = second if lost is first else first
    wait_until(lambda: cluster.host_of(run) is other, "taken over", TAKEN_OVER_SECONDS)
    sys.stdout.write(f"taken over after {time.monotonic() - began:.1f} s\n")
    wait_until(lambda: cluster.state(run) == StateType.COMPLETED, "completed", 300)
    assert [path.parent for path in cluster.home.glob("data/models/tiny/*/model.safetensors")] == [
        saved.parent
    ]
    client = MlflowClient(cluster.addresses["mlflow"])
    (version,) = client.search_model_versions("name='tiny'")
    (logged,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert logged.info.run_id == version.run_id
    assert cluster.client.read_flow_run(run).run_count == 2


@pytest.mark.soak
def test_a_month_of_retraining_ends_right_whatever_hosts_go_down(cluster: Cluster, tmp_path: Path):
    alone = tmp_path / "alone"
    alone.mkdir()
    write_tiny(alone)
    chance, started = random.Random(20), time.monotonic()
    first, second = cluster.hosts
    places = (first, first, second)  # three workers
    for host in places:
        cluster.work(host)
    kills = day = 0
    while time.monotonic() - started < SOAK_SECONDS or day < 5:
        day += 1
        for home in (cluster.home, alone):
            (home / "tiny.txt").write_text(lines(200 + 40 * day))
        epochs = f"{30 + 10 * (day % 3)} epochs"
        run = cluster.retrain(training__budget=epochs)
        while (state := cluster.state(run)) != StateType.COMPLETED:
            if state in (StateType.CRASHED, StateType.FAILED):  # lost three times: the next is due
                run = cluster.retrain(training__budget=epochs)
            time.sleep(chance.uniform(5, 30))
            if chance.random() < 0.5:
                down = chance.choice(cluster.hosts)
                down.go_down()
                kills += 1
                time.sleep(chance.uniform(0, 10))
                for host in places:
                    if host is down:
                        cluster.work(host)
        finished = fork_cli(alone, "train", "tiny.toml", "--set", f"training.budget={epochs}")
        assert finished.status == 0, finished.err
    sys.stdout.write(f"{day} days, {kills} hosts went down\n")
    assert kills >= 5
    assert made(MlflowClient(cluster.addresses["mlflow"])) == made(connect(Home(alone)))


def made(client: MlflowClient) -> tuple[list[tuple[int, str]], dict[str, int], list[str]]:
    """Return what trainings left in MLflow.

    These are number and checkpoint digest of every version, the version of each alias, and the
    checkpoint digest of every run. A comparison with random weights is a run without a version.
    """
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    versions = client.search_model_versions("name='tiny'")
    aliases = client.get_registered_model("tiny").aliases
    runs = client.search_runs([experiment.experiment_id])
    return (
        sorted((int(version.version), version.tags[CHECKPOINT_TAG]) for version in versions),
        {alias: int(version) for alias, version in aliases.items()},
        sorted(run.data.tags.get(CHECKPOINT_TAG, "unfinished") for run in runs),
    )
