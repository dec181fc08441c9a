"""Test attacks on the servers: hostile pages, foreign host names, callers without the password."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect as connect_socket
from websockets.typing import Subprotocol

from flows.lookup.entries import read
from flows.runtime.home import Home
from flows.servers.processes import responds
from tests.conftest import run_cli, write_tiny
from tests.flows import attacks
from tests.flows.serving import (
    NAME,
    PASSWORD,
    Running,
    environment,
    free_ports,
    serve_others,
    wait_until,
)

pytestmark = [pytest.mark.service, pytest.mark.slow]

FLOW = """
from prefect import flow


@flow
def flow(config="x", trigger="manual"):
    return 1
"""
TRACKING = "MLFLOW_TRACKING_URI"
PREFECT_YAML = """
deployments:
  - name: one
    entrypoint: {home}/flow.py:flow
    parameters: {{config: a.toml}}
    work_pool: {{name: rnnlm}}
"""


def write_project(home: Path) -> None:
    (home / "flow.py").write_text(FLOW)
    (home / "prefect.yaml").write_text(PREFECT_YAML.format(home=home))


@dataclass(frozen=True)
class OpenServers:
    """Servers with default settings: no password, loopback only.

    Attributes:
        home: Their home folder.
        prefect: Address of the Prefect server.
        mlflow: Address of the MLflow server.
        deployment: Id of a deployment that the worker runs.
        client: Client of the Prefect server.
    """

    home: Path
    prefect: str
    mlflow: str
    deployment: str
    client: SyncPrefectClient

    @property
    def shell_command(self) -> dict[str, Any]:
        """Flow run parameters with which a hostile page would run a shell command on the worker."""
        return {"name": "attack", "job_variables": {"command": f"touch {self.home}/attacked"}}

    def attacked_runs(self) -> int:
        return sum(run.name == "attack" for run in self.client.read_flow_runs(limit=200))

    def attacked_experiments(self) -> int:
        found = httpx.post(
            f"{self.mlflow}/api/2.0/mlflow/experiments/search", json={"max_results": 100}
        )
        return sum(one["name"].startswith("attack") for one in found.json()["experiments"])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServers]:
    """`rnnlm serve` with default settings."""
    home = tmp_path_factory.mktemp("opened")
    write_project(home)
    serving = Running(home, "serve", "--json", *free_ports(), PREFECT_WORKER_QUERY_SECONDS="2")
    with serving.ending():
        addresses = serving.addresses()
        with SyncPrefectClient(addresses["prefect_api_url"]) as client:
            deployment = client.read_deployment_by_name("flow/one")
            yield OpenServers(
                home, addresses["prefect"], addresses["mlflow"], str(deployment.id), client
            )


@dataclass(frozen=True)
class ProtectedServers:
    """Servers on all interfaces (0.0.0.0) that require a password.

    Attributes:
        home: Their home folder.
        addresses: The JSON object with addresses that the command printed.
    """

    home: Path
    addresses: dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with attacks.browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    with attacks.hostile_site() as port:
        yield port


# Attacks by a page on another origin.


@pytest.mark.browser
@pytest.mark.parametrize("host", [attacks.HOSTILE, "localhost", "127.0.0.1"])
def test_a_page_of_another_origin_changes_nothing(
    opened: OpenServers, browser: Any, site: int, host: str
):
    page = browser.new_page()
    page.goto(f"http://{host}:{site}/")
    create_run = f"{opened.prefect}/api/deployments/{opened.deployment}/create_flow_run"
    create_experiment = f"{opened.mlflow}/ajax-api/2.0/mlflow/experiments/create"
    for kind in attacks.KINDS:
        page.evaluate(attacks.POST, [kind, create_run, opened.shell_command])
        page.evaluate(attacks.POST, [kind, create_experiment, {"name": f"attack {host} {kind}"}])
    page.close()
    assert (opened.attacked_runs(), opened.attacked_experiments()) == (0, 0)


@pytest.mark.browser
@pytest.mark.parametrize("host", [attacks.HOSTILE, "localhost"])
def test_a_page_of_another_origin_reads_and_frames_nothing(
    opened: OpenServers, browser: Any, site: int, host: str
):
    page = browser.new_page()
    page.goto(f"http://{host}:{site}/")
    for address in (f"{opened.prefect}/api/admin/settings", f"{opened.mlflow}/version"):
        assert page.evaluate(attacks.READ, address) == ""
    sockets = opened.prefect.replace("http", "ws")
    for path in ("/api/events/in", "/api/events/out", "/api/logs/out"):
        assert page.evaluate(attacks.OPEN_SOCKET, f"{sockets}{path}") == "refused", path
    for address in (opened.prefect, opened.mlflow):
        page.evaluate(attacks.FRAME, address)
        shown = page.frames[-1].content()
        assert "cross-origin request refused" in shown or "refused to connect" in shown
    page.close()


@pytest.mark.browser
def test_dns_rebinding_changes_nothing(opened: OpenServers, browser: Any):
    for server, path, values in (
        (
            opened.prefect,
            f"/api/deployments/{opened.deployment}/create_flow_run",
            opened.shell_command,
        ),
        (opened.mlflow, "/ajax-api/2.0/mlflow/experiments/create", {"name": "attack rebound"}),
    ):
        page = browser.new_page()
        address = server.replace("127.0.0.1", attacks.REBOUND)
        page.goto(address)  # same-origin for the browser from here on
        said = page.evaluate(attacks.POST, ["json", f"{address}{path}", values])
        assert said == "answered 403"
        assert "is not allowed" in page.evaluate(attacks.READ, f"{address}/")
        page.close()
    assert (opened.attacked_runs(), opened.attacked_experiments()) == (0, 0)


# Requests without a browser.


@pytest.mark.parametrize("name", ["hostile.example", "hostile.example:4200", "127.0.0.1.evil", ""])
def test_a_foreign_host_header_is_refused(opened: OpenServers, name: str):
    for address in (
        f"{opened.prefect}/api/health",
        f"{opened.prefect}/api/flows/count",
        f"{opened.mlflow}/health",
        f"{opened.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0",
    ):
        assert httpx.get(address, headers={"Host": name}).status_code in (400, 403), address


def test_a_post_without_a_csrf_token_is_refused(opened: OpenServers):
    address = f"{opened.prefect}/api/deployments/{opened.deployment}/create_flow_run"
    answer = httpx.post(address, content=json.dumps(opened.shell_command))
    assert answer.status_code == 403
    assert opened.attacked_runs() == 0


def test_a_refusal_is_a_line_in_the_log(opened: OpenServers):
    for name, address in (("prefect", opened.prefect), ("mlflow", opened.mlflow)):
        httpx.get(address, headers={"Host": "hostile.example"})
        log = (opened.home / "data" / "logs" / f"{name}.log").read_text()
        assert "refused '/': host 'hostile.example' is not allowed" in log, name


# Legitimate use still works.


@pytest.mark.browser
def test_the_pages_themselves_still_work(opened: OpenServers, browser: Any):
    from playwright.sync_api import expect

    loaded: list[str] = []
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.on("response", lambda answer: loaded.append(answer.url))
    by_name = opened.prefect.replace("127.0.0.1", "localhost")
    page.goto(f"{by_name}/v2/deployments/deployment/{opened.deployment}")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Quick run").click()
    expect(page.get_by_text("scheduled").first).to_be_visible(timeout=60_000)
    page.goto(f"{by_name}/deployments/deployment/{opened.deployment}")  # Prefect's older page
    expect(page.get_by_text("one").first).to_be_visible(timeout=60_000)
    page.goto(f"{opened.mlflow}/#/experiments")
    page.get_by_role("button", name="Create").first.click()
    page.get_by_placeholder("experiment name").fill("made by hand")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(page.get_by_text("made by hand").first).to_be_visible(timeout=60_000)
    page.close()
    ours = (by_name, opened.prefect, opened.mlflow)
    assert [url for url in loaded if not url.startswith((*ours, "data:", "blob:"))] == []

    def ended() -> bool:
        runs = opened.client.read_flow_runs(limit=200)
        return any(run.state and run.state.is_completed() for run in runs)

    wait_until(ended, "the run that was started by hand is completed")
    assert not (opened.home / "attacked").exists()


def test_files_of_the_servers_are_private(opened: OpenServers):
    for folder in ("data/prefect", "data/logs", "mlruns"):
        assert (opened.home / folder).stat().st_mode & 0o077 == 0, folder
    for database in (*opened.home.glob("data/prefect/*.db*"), *opened.home.glob("mlruns/*.db*")):
        assert database.stat().st_mode & 0o177 == 0, database


# The server that a single command starts.


def test_only_the_command_can_call_the_server_that_it_starts(tmp_path: Path):
    write_tiny(tmp_path)
    training = Running(tmp_path, "train", "tiny.toml", "--set", "training.budget=1000 epochs")
    with training.ending():
        address = wait_until(lambda: server_of(training), "a server")
        wait_until(lambda: responds(f"{address}/api/health"), "it answers")
        for path in ("flows/count", "flow_runs/filter", "admin/settings", "csrf-token?client=x"):
            for method in ("GET", "POST"):
                answer = httpx.request(method, f"{address}/api/{path}")
                assert answer.status_code in (401, 403), (method, path)
        for headers in ({"Host": "hostile.example"}, {"Origin": "http://hostile.example"}):
            assert httpx.get(f"{address}/api/health", headers=headers).status_code == 403
        for process in training.processes():
            assert "AUTH" not in " ".join(process.cmdline())
            secret = environment(process).get("PREFECT_API_AUTH_STRING", "")
            assert not secret or secret not in " ".join(process.cmdline())


def server_of(training: Running) -> str | None:
    for process in training.processes():
        with contextlib.suppress(psutil.Error):
            if "flows.servers.prefect_server" in process.cmdline():
                for socket in process.net_connections("tcp"):
                    if socket.status == psutil.CONN_LISTEN:
                        return f"http://{socket.laddr.ip}:{socket.laddr.port}"
    return None


# Servers open to other machines, with a password.


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtectedServers]:
    """`rnnlm serve` on 0.0.0.0."""
    home = tmp_path_factory.mktemp("protected")
    write_project(home)
    write_tiny(home)
    serving = serve_others(home)
    with serving.ending():
        yield ProtectedServers(home, serving.addresses())


MLFLOW_PATHS = (
    "/",
    "/version",
    "/metrics",
    "/graphql",
    "/api/2.0/mlflow/experiments/get?experiment_id=0",
    "/ajax-api/2.0/mlflow/runs/search",
    "/api/2.0/mlflow-artifacts/artifacts",
    "/api/2.0/mlflow-artifacts/artifacts/x",
    "/get-artifact?path=x&run_uuid=y",
    "/model-versions/get-artifact?path=x",
    "/v1/traces",
    "/gateway/x/mlflow/invocations",
    "/ajax-api/3.0/jobs/1",
    "/ajax-api/3.0/mlflow/assistant/config",
    "/static-files/index.html",
    "/openapi.json",
    "/docs",
)


@pytest.mark.parametrize("credentials", [None, ("admin", "password1234"), ("rnnlm", "password")])
def test_data_requires_the_password_but_health_checks_do_not(
    protected: ProtectedServers, credentials: tuple[str, str] | None
):
    mlflow, prefect = protected.addresses["mlflow"], protected.addresses["prefect"]
    auth = httpx.BasicAuth(*credentials) if credentials else None
    for path in MLFLOW_PATHS:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = httpx.request(method, f"{mlflow}{path}", auth=auth)
            assert answer.status_code == 401, (method, path)
    for path in ("flows/count", "deployments/filter", "admin/settings", "csrf-token?client=x"):
        assert httpx.get(f"{prefect}/api/{path}", auth=auth).status_code == 401, path
        assert httpx.post(f"{prefect}/api/{path}", auth=auth).status_code in (401, 403), path
    for address in (f"{mlflow}/health", f"{prefect}/api/health"):
        assert httpx.get(address).status_code == 200


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
@pytest.mark.parametrize("token", [None, "rnnlm:password"])
def test_websockets_require_the_password(protected: ProtectedServers, path: str, token: str | None):
    address = protected.addresses["prefect"].replace("http", "ws") + path
    with pytest.raises(WebSocketException), connect_socket(address) as socket:
        socket.recv(timeout=5)
    with (
        pytest.raises(WebSocketException),
        connect_socket(address, subprotocols=[Subprotocol("prefect")]) as socket,
    ):
        socket.send(json.dumps({"type": "auth", "token": token}))
        socket.recv(timeout=5)


def test_the_password_opens_the_pages_only_under_the_allowed_name(protected: ProtectedServers):
    (further,) = protected.addresses["also_at"]
    assert further.startswith(f"http://{NAME}:") and further.count(":") == 3
    sign_in = httpx.BasicAuth("rnnlm", PASSWORD)
    for address, path in (
        (protected.addresses["mlflow"], "/version"),
        (protected.addresses["prefect"], "/api/admin/version"),
    ):
        for name, status in ((NAME, 200), (f"{NAME}:8080", 200), ("hostile.example", 403)):
            answer = httpx.get(f"{address}{path}", auth=sign_in, headers={"Host": name})
            assert answer.status_code == status, (name, path)


def test_commands_that_call_the_servers_work_with_the_password(
    protected: ProtectedServers, monkeypatch: pytest.MonkeyPatch
):
    environment = {
        name: protected.addresses[name.lower()] for name in ("PREFECT_API_URL", TRACKING)
    }
    environment["RNNLM_PASSWORD_FILE"] = str(protected.home / "password")
    commands = (
        ("train", "tiny.toml", "--set", "name=mine"),
        ("generate", "mine", "--count", "20"),
        ("sample", "mine", "--count", "1"),
        ("evaluate", "mine"),
        ("promote", "mine", "1", "--why", "a test"),
        ("history", "mine"),
        ("housekeeping",),
    )
    for command in commands:
        finished = run_cli(protected.home, *command, "--json", **environment)
        assert finished.status == 0, (command, finished.err)
        assert PASSWORD not in finished.out + finished.err
    monkeypatch.setenv(TRACKING, environment[TRACKING])
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "rnnlm")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    entries = read(Home(protected.home))
    assert entries is not None and entries.aliases["mine"]["champion"] == 1
    assert len(entries.versions["mine"][1].digest) == 64
    for name, wrong, why in (
        (TRACKING, {}, "asks for a password: set RNNLM_PASSWORD_FILE=FILE"),
        (TRACKING, {"RNNLM_PASSWORD": "not-the-one"}, "rejects the password in RNNLM_PASSWORD"),
        ("PREFECT_API_URL", {}, "asks for a password: set RNNLM_PASSWORD_FILE=FILE"),
    ):
        command = ("models",) if name == TRACKING else ("housekeeping",)
        refused = run_cli(protected.home, *command, "--json", **{name: environment[name]}, **wrong)
        assert refused.status == 1 and refused.err.count("\n") == 1
        assert f"{name}=http://127.0.0.1" in refused.err and why in refused.err
