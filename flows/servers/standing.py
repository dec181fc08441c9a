"""The long-running servers that `rnnlm serve` starts.

They are Prefect with its scheduler, MLflow, and a Prefect worker, which starts the scheduled flow
runs. The command restarts servers that end unexpectedly, and ends all servers when it ends. The
databases are SQLite files in the home, unless settings of Prefect or MLflow name other databases.
If `PREFECT_API_URL` or `MLFLOW_TRACKING_URI` names a server, that server is used and none is
started in its place.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from flows.runtime import locks, sqlite_files
from flows.runtime.addresses import is_http, page, redact
from flows.runtime.home import Home, make_private
from flows.servers import (
    deployments,
    hosts,
    lost_runs,
    mlflow_server,
    prefect_server,
    processes,
    stores,
    working,
)
from flows.servers.deployments import Deployment
from flows.servers.processes import Command, address_of
from flows.servers.supervising import Supervisor
from rnnlm.errors import ServerError

PREFECT_PORT, MLFLOW_PORT = 4200, 5000


@dataclass(frozen=True)
class Standing:
    """The running servers and their deployments (flows with schedules).

    Attributes:
        addresses: Addresses of the web pages (`prefect`, `mlflow`), and values of the environment
            variables that make other commands use these servers, all by name.
        further: Addresses of the started servers under each additional host name.
        deployments: Deployments in `prefect.yaml`.
        forgotten: Names of deployments on the server that are no longer in `prefect.yaml`; the
            server still runs them.
        logs: Folder of the servers' logs.
        supervisor: Its `run` restarts each server that ends.
    """

    addresses: dict[str, str]
    further: list[str]
    deployments: list[Deployment]
    forgotten: list[str]
    logs: Path
    supervisor: Supervisor = field(repr=False)


@contextlib.contextmanager
def serve(
    home: Home,
    host: str = "127.0.0.1",
    prefect_port: int | None = None,
    mlflow_port: int | None = None,
    file: Path | None = None,
    *,
    works: bool = True,
) -> Iterator[Standing]:
    """Run Prefect and MLflow servers, and the scheduled flows, as long as this context lasts.

    Settings are checked before any server starts, with one exception: the caller must first call
    `hosts.check_host` to check whether servers may listen on `host`.

    Args:
        home: Home that the servers and flow runs use.
        host: Address to listen on.
        prefect_port: Port of the Prefect server; None for the usual port or a free one.
        mlflow_port: Port of the MLflow server; None for the usual port or a free one.
        file: File with the deployments and their schedules, which may be missing; None for
            `prefect.yaml` in the current folder, or else in the home.
        works: Whether to start a worker. If not, workers on other machines run the flows.

    Raises:
        ServerError: A port, a database, a server or a deployment cannot be used.
    """
    file = file or deployments.find(home)
    wanted = deployments.read(file) if file.is_file() else []
    make_plan = partial(_Plan.make, home, host, prefect_port, mlflow_port)
    plan = make_plan()
    for folder in (home.prefect, plan.logs):
        make_private(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(home))
        name = stack.enter_context(working.naming(home))
        _check_stores(home, plan)
        stack.enter_context(processes.guarding())
        # Two Prefect servers must not create the database tables at the same time, and a command
        # such as `rnnlm train` may be starting one.
        with FileLock(locks.prefect_start(home)):
            plan, supervisor = _start(home, name, plan, make_plan)
        stack.callback(supervisor.end)
        deployments.make_pool(plan.prefect_api)
        lost_runs.take_over(home, plan.prefect_api, name, timedelta(0))
        if works:
            supervisor.start([supervisor.worker])
        if wanted:
            deployments.apply(plan.prefect_api, file.absolute())
        forgotten = deployments.forgotten(plan.prefect_api, wanted)
        yield Standing(plan.addresses, plan.further, wanted, forgotten, plan.logs, supervisor)


@dataclass(frozen=True)
class _Plan:
    """The servers to start, and the addresses of the servers to use, whether started or existing.

    Attributes:
        prefect_api: Address of the Prefect server's API.
        mlflow: Address of the MLflow server.
        logs: Folder of the logs.
        servers: Commands that start servers; empty if both servers exist already.
    """

    prefect_api: str
    mlflow: str
    logs: Path
    servers: tuple[Command, ...]

    @classmethod
    def make(
        cls, home: Home, host: str, prefect_port: int | None, mlflow_port: int | None
    ) -> "_Plan":
        logs = home.data / "logs"
        servers = []
        prefect_api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
        if prefect_api:
            _refuse("--prefect-port", prefect_port, "PREFECT_API_URL", prefect_api)
        else:
            port = processes.choose_port(host, prefect_port, PREFECT_PORT, "--prefect-port")
            servers.append(prefect_server.command(host, port, logs))
            prefect_api = f"{address_of(host, port)}/api"
        mlflow = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        if is_http(mlflow):
            _refuse("--mlflow-port", mlflow_port, "MLFLOW_TRACKING_URI", mlflow)
        else:
            port = processes.choose_port(host, mlflow_port, MLFLOW_PORT, "--mlflow-port")
            store = stores.mlflow_store(home)
            servers.append(mlflow_server.command(home, store, host, port, logs))
            mlflow = address_of(host, port)
        if page(prefect_api).removesuffix("/api") == page(mlflow):
            raise ServerError(f"Prefect and MLflow cannot share {page(mlflow)}; give each a port")
        return cls(prefect_api, mlflow, logs, tuple(servers))

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "prefect": page(self.prefect_api).removesuffix("/api"),
            "mlflow": page(self.mlflow),
            "PREFECT_API_URL": redact(self.prefect_api),
            "MLFLOW_TRACKING_URI": redact(self.mlflow),
        }

    @property
    def further(self) -> list[str]:
        ports = [urlsplit(command.health or "").port for command in self.servers]
        names = hosts.allowed_names() if ports else ()
        rest = "".join(f", :{port}" for port in ports[1:])
        return [f"{address_of(name, ports[0] or 0)}{rest}" for name in sorted(names)]

    def starts(self, name: str) -> bool:
        return any(command.name == name for command in self.servers)

    def lost_a_port(self) -> bool:
        """Return whether something answers on a port of these servers, which do not run."""
        return any(processes.is_open(command.health or "") for command in self.servers)


def _start(
    home: Home, name: str, plan: _Plan, make_plan: Callable[[], _Plan]
) -> tuple[_Plan, Supervisor]:
    """Start the servers of a plan, or of a new one if another program takes a port meanwhile.

    Returns:
        The plan of the running servers, and their supervisor.

    Raises:
        ServerError: A server does not start, or a port that the user requested is taken.
    """
    while True:
        log = plan.logs / "worker.log"
        worker = working.command(home, name, plan.prefect_api, plan.mlflow, log)
        supervisor = Supervisor(home, plan.prefect_api, name, worker)
        try:
            supervisor.start([*plan.servers])
        except ServerError:
            supervisor.end()
            if not plan.lost_a_port():
                raise
            plan = make_plan()
        else:
            return plan, supervisor


def _check_stores(home: Home, plan: _Plan) -> None:
    """Check that databases and existing servers answer, and create MLflow's tables if needed.

    Raises:
        ServerError: A database or an existing server does not answer.
        StorageError: A SQLite database is damaged.
    """
    if plan.starts("prefect"):
        from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to import

        url = get_current_settings().server.database.connection_url
        if url:
            stores.check_database(url.get_secret_value(), stores.PREFECT_SETTING)
        sqlite_files.check(home.prefect / "prefect.db")
    else:
        working.check_server("PREFECT_API_URL", plan.prefect_api)
    if plan.starts("mlflow"):
        stores.prepare_mlflow(home, stores.mlflow_store(home))
    else:
        working.check_server("MLFLOW_TRACKING_URI", plan.mlflow)


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Lock the home against a second `rnnlm serve`, which would start every scheduled run again.

    Raises:
        ServerError: Another `rnnlm serve` is running on this home.
    """
    lock = FileLock(locks.serving(home))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        where = home.root.resolve()
        raise ServerError(
            f"another `rnnlm serve` serves {where}; stop that one, or set another RNNLM_HOME"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _refuse(option: str, port: int | None, setting: str, address: str) -> None:
    if port is not None:
        raise ServerError(
            f"{option} {port} while {setting}={redact(address)} names a server; use one of the two"
        )


def due(deployment: Deployment, now: datetime | None = None) -> str:
    """Return the time of a deployment's next run, such as `next 02:00`, in local time.

    The text is `switched off` if all schedules are, and empty if nothing is scheduled.
    """
    if deployment.is_off:
        return "switched off"
    now = now or datetime.now(UTC)
    at = deployment.next_run(now)
    if at is None:
        return ""
    at = at.astimezone()
    pattern = "%H:%M" if at - now < timedelta(hours=12) else "%a %d %b %H:%M"
    return f"next {at:{pattern}}"
