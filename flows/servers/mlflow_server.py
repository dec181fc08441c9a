"""MLflow's server behind `AccessControl`: how it is started, and the application that it serves.

`mlflow server --app-name rnnlm` finds `create_app` by the entry point in pyproject.toml.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flows.home import Home
from flows.servers import access, credentials, stores
from flows.servers.processes import Command, address_of

if TYPE_CHECKING:
    from flows.servers.access import AccessControl

APP = "rnnlm"


def command(home: Home, store: str, host: str, port: int, logs: Path) -> Command:
    """Say how the server is started; its artifacts go through it unless they are all local.

    With neither a database nor a place for artifacts named, artifacts are known by their path, so
    that commands read them whether or not the server is up.

    Args:
        home: Whose artifacts it serves.
        store: Address of its database.
        host: Address to listen on.
        port: The same.
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
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # GenAI jobs: six processes
        },
        health=f"{address_of(host, port)}/health",
    )


def create_app() -> "AccessControl":
    """Return MLflow's application behind our access rules; uvicorn calls this."""
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"  # `AccessControl` has looked at the host
    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - heavy, and reads settings

    return access.AccessControl(app, access.host_names(), credentials.read())
