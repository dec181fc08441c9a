"""Fixtures with servers that several tests share.

The servers are started once per test module, when its first test needs them.
"""

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from tests.conftest import ROOT, write_tiny
from tests.flows.serving import PASSWORD, Running, postgresql, serve_others, wait_until

PREFECT_YAML = f"""
deployments:
  - name: tiny
    entrypoint: {ROOT}/flows/retrain.py:retrain
    parameters: {{config: tiny.toml, trigger: schedule}}
    work_pool: {{name: rnnlm}}
    concurrency_limit: {{limit: 1, collision_strategy: ENQUEUE}}
    schedules: [{{interval: 12}}]
  - name: slow
    entrypoint: {ROOT}/flows/retrain.py:retrain
    parameters:
      config: tiny.toml
      settings:
      - name=slow
      - training.budget=90 epochs
      - training.patience=1000
      - training.validations=30
    work_pool: {{name: rnnlm}}
    concurrency_limit: {{limit: 1, collision_strategy: ENQUEUE}}
"""


@dataclass(frozen=True)
class Served:
    """A running `rnnlm serve` that is open to other machines and stores its data in PostgreSQL.

    Attributes:
        serving: The command.
        addresses: The JSON object that the command printed.
        client: A client of its Prefect server.
    """

    serving: Running
    addresses: dict[str, Any]
    client: SyncPrefectClient

    @property
    def home(self) -> Path:
        return self.serving.home


@contextlib.contextmanager
def signed_in() -> Iterator[None]:
    """Make the clients in this process send the password."""
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(updates={PREFECT_API_AUTH_STRING: f"rnnlm:{PASSWORD}"}),
    ):
        patch.setenv("MLFLOW_TRACKING_USERNAME", "rnnlm")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Running servers with a tiny corpus and the settings of docker/compose.yaml."""
    home = tmp_path_factory.mktemp("served")
    write_tiny(home)
    (home / "prefect.yaml").write_text(PREFECT_YAML)
    with postgresql() as address, signed_in():
        serving = serve_others(
            home,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://{address}/prefect",
            MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg://{address}/mlflow",
            MLFLOW_ARTIFACTS_DESTINATION=str(home / "artifacts"),
            PREFECT_WORKER_QUERY_SECONDS="2",
        )
        try:
            addresses = serving.addresses()
            api, secret = addresses["prefect_api_url"], f"rnnlm:{PASSWORD}"
            with SyncPrefectClient(api, auth_string=secret) as client:
                yield Served(serving, addresses, client)
            assert len(serving.processes()) >= 4
            serving.end(signal.SIGKILL)
            wait_until(lambda: not serving.processes(), "no process is left after SIGKILL", 30)
        finally:
            serving.process.kill()


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict]]:
    """The list of messages that a webhook receives; RNNLM_NOTIFY is set to its address."""
    received: list[dict] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("RNNLM_NOTIFY", f"json://127.0.0.1:{server.server_port}/hook")
    yield received
    server.shutdown()
    server.server_close()
