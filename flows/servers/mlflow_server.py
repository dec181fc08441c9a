"""MLflow's server with access control: the command that starts it, and the web application.

The command is `mlflow server --app-name rnnlm`. MLflow finds `create_app` through the entry point
in pyproject.toml.
"""

import os
import sys
from pathlib import Path

from flows.runtime import credentials
from flows.runtime.home import Home
from flows.servers import hosts, stores
from flows.servers.access import AccessControl
from flows.servers.processes import Command, address_of

APP = "rnnlm"


def command(home: Home, store: str, host: str, port: int, logs: Path) -> Command:
    """Return the command that starts an MLflow server.

    Clients read and write artifacts through the server, with one exception: if the database is
    SQLite and `MLFLOW_ARTIFACTS_DESTINATION` is not set, clients get the paths of the files, and
    can read them even while the server is down.

    Args:
        home: Home whose artifacts the server provides.
        store: Address of the server's database.
        host: Address to listen on.
        port: Port to listen on.
        logs: Folder for the server's log.
    """
    words = [sys.executable, "-m", "mlflow", "server", "--app-name", APP, "--workers", "1"]
    words += ["--host", host, "--port", str(port), "--serve-artifacts"]
    local = (home.mlruns / "artifacts").resolve()
    destination = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION")
    if not destination and store.startswith("sqlite:"):
        words += ["--default-artifact-root", str(local)]
    return Command(
        name="mlflow",
        words=[*words, "--artifacts-destination", destination or str(local)],
        log=logs / "mlflow.log",
        environment={
            stores.MLFLOW_SETTING: store,  # not an argument: it may hold a password
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # the job runner starts six processes
        },
        health=f"{address_of(host, port)}/health",
    )


def create_app() -> AccessControl:
    """Return MLflow's web application wrapped in `AccessControl`; uvicorn calls this function."""
    hosts.check_host()
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"  # `AccessControl` checks the host
    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - slow, and reads settings on import

    return AccessControl(app, hosts.allowed_names(), credentials.read())
