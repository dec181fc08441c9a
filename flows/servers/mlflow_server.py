"""MLflow's server behind `AccessControl`: the command that starts it, and its application.

`mlflow server --app-name rnnlm` finds `create_app` by the entry point in pyproject.toml.
"""

import os
import sys
from pathlib import Path

from flows.runtime.home import Home
from flows.servers import credentials, hosts, stores
from flows.servers.access import AccessControl
from flows.servers.processes import Command, address_of

APP = "rnnlm"


def command(home: Home, store: str, host: str, port: int, logs: Path) -> Command:
    """Return the command that starts the server.

    Clients reach artifacts through the server. The exception is a local SQLite database without an
    artifact destination: then clients get file paths, and can read while the server is down.

    Args:
        home: Home whose artifacts it serves.
        store: Address of its database.
        host: Address to listen on.
        port: Port to listen on.
        logs: Folder for its output.
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
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its runner starts six processes
        },
        health=f"{address_of(host, port)}/health",
    )


def create_app() -> AccessControl:
    """Return MLflow's application behind `AccessControl`; uvicorn calls this."""
    hosts.check_host()
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"  # `AccessControl` checks the host
    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - slow, and reads settings on import

    return AccessControl(app, hosts.allowed_names(), credentials.read())
