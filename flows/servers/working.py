"""Prefect workers, which run the scheduled flow runs: one for `serve`, more on other machines.

Workers that share a home and the servers share the work: each takes runs that are due, finds the
steps that others have done, and takes over runs that lost their process.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

import rnnlm_flows
from flows.runtime import locks
from flows.runtime.addresses import is_http, page, redact
from flows.runtime.home import OWN, Home, make_private
from flows.servers import deployments, processes
from flows.servers.processes import Command
from flows.servers.supervising import Supervisor
from rnnlm.errors import ServerError

_DEFAULTS = {
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",  # three missed ones show a worker as offline
    "PREFECT_WORKER_QUERY_SECONDS": "5",  # how often it asks for runs that are due
}
"""Settings of Prefect's worker that the user may have set."""


@dataclass(frozen=True)
class Working:
    """A running worker.

    Attributes:
        name: Name of the worker, unique in the home.
        addresses: Addresses of the servers' pages (`prefect`, `mlflow`).
        log: File with the worker's log.
        supervisor: Its `run` restarts the worker whenever it ends.
    """

    name: str
    addresses: dict[str, str]
    log: Path
    supervisor: Supervisor = field(repr=False)


@contextlib.contextmanager
def work(home: Home) -> Iterator[Working]:
    """Run a worker of existing servers as long as this context lasts.

    Args:
        home: Home that all workers share, also if its path differs between machines.

    Raises:
        ServerError: No servers are configured, one does not answer, or MLflow's artifacts cannot
            be reached from this machine.
    """
    prefect_api, mlflow = _configured("PREFECT_API_URL"), _configured("MLFLOW_TRACKING_URI")
    for setting, address in (("PREFECT_API_URL", prefect_api), ("MLFLOW_TRACKING_URI", mlflow)):
        check_server(setting, address)
    _check_artifacts(mlflow)
    logs = home.data / "logs"
    for folder in (home.prefect, logs):
        make_private(folder)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(naming(home))
        worker = command(home, name, prefect_api, mlflow, logs / f"{name}.log")
        stack.enter_context(processes.guarding())
        supervisor = Supervisor(home, prefect_api, name, worker)
        stack.callback(supervisor.end)
        deployments.make_pool(prefect_api)
        supervisor.start([worker])
        addresses = {"prefect": page(prefect_api).removesuffix("/api"), "mlflow": page(mlflow)}
        yield Working(name, addresses, worker.log, supervisor)


@contextlib.contextmanager
def naming(home: Home) -> Iterator[str]:
    """Yield a name for a worker: that of this machine, with a number if there are several.

    A worker that is started again gets its old name.
    """
    machine = f"{OWN}-{socket.gethostname()}"
    for number in count(1):
        name = machine if number == 1 else f"{machine}-{number}"
        lock = FileLock(locks.worker(home, name))
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            break
    try:
        yield name
    finally:
        lock.release()


def command(home: Home, name: str, prefect_api: str, mlflow: str, log: Path) -> Command:
    """Return the command that starts a Prefect worker.

    Args:
        home: Home that the flow runs use.
        name: Name of the worker.
        prefect_api: Address of the Prefect server's API.
        mlflow: Address of the MLflow server.
        log: File for the worker's log.
    """
    words = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    return Command(
        name="worker",
        words=[*words, "--pool", OWN, "--name", name],
        log=log,
        environment={
            "PREFECT_API_URL": prefect_api,
            "MLFLOW_TRACKING_URI": mlflow,
            "RNNLM_HOME": str(home.root.resolve()),
            rnnlm_flows.PROJECT: str(deployments.find(home).parent.resolve()),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",  # use this environment
            **{name: os.environ.get(name, value) for name, value in _DEFAULTS.items()},
            # Flow runs may be the user's own, and import a package `flows` of theirs.
            "PYTHONPATH": rnnlm_flows.without_ours(os.environ.get("PYTHONPATH", "")),
        },
    )


def check_server(setting: str, address: str) -> None:
    """Check that a server which a setting names answers.

    Raises:
        ServerError: It does not.
    """
    if not processes.responds(f"{address}/health"):
        server = "Prefect" if setting.startswith("PREFECT") else "MLflow"
        raise ServerError(
            f"{setting}={redact(address)}: no {server} server answers there; start it, or correct "
            "the variable"
        )


def _configured(setting: str) -> str:
    address = os.environ.get(setting, "").rstrip("/")
    if not is_http(address):
        found = f"{setting}={redact(address)}" if address else f"{setting} is not set"
        raise ServerError(
            f"{found} (expected the address of a server); run `rnnlm serve` on one machine, and "
            "set what it prints on this one"
        )
    return address


def _check_artifacts(mlflow: str) -> None:
    """Check that this machine can store the artifacts of all experiments of an MLflow server.

    Raises:
        ServerError: It cannot.
    """
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - slow to import

    from flows.tracking.connecting import check_artifacts  # noqa: PLC0415 - slow to import

    for experiment in MlflowClient(mlflow).search_experiments():
        if experiment.experiment_id != "0":  # MLflow's own, in which nothing is stored
            check_artifacts(experiment)
