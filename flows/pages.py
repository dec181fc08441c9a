"""The MLflow and Prefect pages, served while a command runs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from flows import registry, runtime
from flows.home import Home
from flows.tracking import connect
from rnnlm.errors import RnnlmError

MLFLOW_PORT, PREFECT_PORT = 5000, 4200
STARTUP_SECONDS = 120.0
MODEL_TRAINING = "?workflowType=machine_learning"  # else MLflow opens in its GenAI view


@contextlib.contextmanager
def serve(home: Home) -> Iterator[dict[str, str]]:
    """Serve both pages on the loopback interface; yield addresses that lead to what matters.

    The usual ports are taken where they are free, others where they are not.

    Raises:
        RnnlmError: A server did not start.
    """
    runtime.configure(home)
    client = connect(home)
    mlflow_port, prefect_port = _free_port(MLFLOW_PORT), _free_port(PREFECT_PORT)
    mlflow_page = f"http://127.0.0.1:{mlflow_port}"
    prefect_page = f"http://127.0.0.1:{prefect_port}"
    logs = home.data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    hosts = f"127.0.0.1:{mlflow_port},localhost:{mlflow_port}"
    with contextlib.ExitStack() as stack:
        mlflow = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port"]
        mlflow += [str(mlflow_port), "--allowed-hosts", hosts]
        mlflow += ["--backend-store-uri", home.tracking_uri, "--default-artifact-root"]
        mlflow += [str((home.mlruns / "artifacts").resolve())]
        prefect = [sys.executable, "-m", "prefect", "server", "start", "--no-services", "--port"]
        prefect += [str(prefect_port)]
        idle = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # GenAI jobs: six processes
        stack.enter_context(_process(mlflow, logs / "mlflow.log", idle))
        address = {"PREFECT_UI_API_URL": f"{prefect_page}/api"}
        stack.enter_context(_process(prefect, logs / "prefect.log", address))
        _wait(f"{mlflow_page}/health", logs / "mlflow.log")
        _wait(f"{prefect_page}/api/health", logs / "prefect.log")
        addresses = {}
        for name in sorted({version.name for version in registry.versions(home)}):
            experiment = client.get_experiment_by_name(name)
            if experiment:
                runs = (
                    f"{mlflow_page}/#/experiments/{experiment.experiment_id}/runs{MODEL_TRAINING}"
                )
                addresses[f"{name} runs"] = runs
            addresses[f"{name} model"] = f"{mlflow_page}/#/models/{name}{MODEL_TRAINING}"
        if not addresses:
            addresses["experiments"] = f"{mlflow_page}/#/experiments{MODEL_TRAINING}"
        yield {**addresses, "flow runs": f"{prefect_page}/runs"}


def wait_for_interrupt() -> None:
    """Return on Ctrl-C or SIGTERM, also where a shell started us with Ctrl-C ignored."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


@contextlib.contextmanager
def _process(command: list[str], log: Path, extra: dict[str, str]) -> Iterator[None]:
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **extra},
            start_new_session=True,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RnnlmError("no free port on the loopback interface; close some programs and try again")


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(url, timeout=5),  # noqa: S310 - our own address
        ):
            return
        time.sleep(0.2)
    raise RnnlmError(f"{url} did not answer in {STARTUP_SECONDS:.0f} s; see {log}")
