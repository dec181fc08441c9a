"""Who can call the servers: hostile pages, other host names, callers without the password."""

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

from flows.servers.processes import responds
from tests import stores
from tests.conftest import run_cli, write_tiny
from tests.flows import attacks
from tests.flows.servers import (
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
class Door:
    """Servers without a password, on this machine alone.

    Attributes:
        home: Where they keep everything.
        prefect: The address of its page.
        mlflow: The same.
        deployment: The id of one that the worker runs.
        client: Of Prefect.
    """

    home: Path
    prefect: str
    mlflow: str
    deployment: str
    client: SyncPrefectClient

    @property
    def shell_command(self) -> dict[str, Any]:
        """What a hostile page would have Prefect's worker run."""
        return {"name": "attack", "job_variables": {"command": f"touch {self.home}/attacked"}}

    def attacked_runs(self) -> int:
        return sum(run.name == "attack" for run in self.client.read_flow_runs(limit=200))

    def attacked_experiments(self) -> int:
        found = httpx.post(
            f"{self.mlflow}/api/2.0/mlflow/experiments/search", json={"max_results": 100}
        )
        return sum(one["name"].startswith("attack") for one in found.json()["experiments"])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """`rnnlm serve` as it comes."""
    home = tmp_path_factory.mktemp("door")
    write_project(home)
    serving = Running(home, "serve", "--json", *free_ports(), PREFECT_WORKER_QUERY_SECONDS="2")
    with serving.ending():
        told = serving.addresses()
        with SyncPrefectClient(told["prefect_api_url"]) as client:
            deployment = client.read_deployment_by_name("flow/one")
            yield Door(home, told["prefect"], told["mlflow"], str(deployment.id), client)


@dataclass(frozen=True)
class Locked:
    """Servers that ask for a password, and what they printed."""

    home: Path
    addresses: dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with attacks.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    with attacks.hostile_site() as port:
        yield port


# A page on another origin.


@pytest.mark.browser
@pytest.mark.parametrize("host", [attacks.HOSTILE, "localhost", "127.0.0.1"])
def test_a_page_of_another_origin_changes_nothing(door: Door, browser: Any, site: int, host: str):
    page = browser.new_page()
    page.goto(f"http://{host}:{site}/")
    create_run = f"{door.prefect}/api/deployments/{door.deployment}/create_flow_run"
    create_experiment = f"{door.mlflow}/ajax-api/2.0/mlflow/experiments/create"
    for kind in attacks.KINDS:
        page.evaluate(attacks.POST, [kind, create_run, door.shell_command])
        page.evaluate(attacks.POST, [kind, create_experiment, {"name": f"attack {host} {kind}"}])
    page.close()
    assert (door.attacked_runs(), door.attacked_experiments()) == (0, 0)


@pytest.mark.browser
@pytest.mark.parametrize("host", [attacks.HOSTILE, "localhost"])
def test_a_page_of_another_origin_reads_and_frames_nothing(
    door: Door, browser: Any, site: int, host: str
):
    page = browser.new_page()
    page.goto(f"http://{host}:{site}/")
    for address in (f"{door.prefect}/api/admin/settings", f"{door.mlflow}/version"):
        assert page.evaluate(attacks.READ, address) == ""
    sockets = door.prefect.replace("http", "ws")
    for path in ("/api/events/in", "/api/events/out", "/api/logs/out"):
        assert page.evaluate(attacks.OPEN_SOCKET, f"{sockets}{path}") == "refused", path
    for address in (door.prefect, door.mlflow):
        page.evaluate(attacks.FRAME, address)
        shown = page.frames[-1].content()
        assert "may not call this server" in shown or "refused to connect" in shown
    page.close()


@pytest.mark.browser
def test_a_page_whose_name_is_pointed_at_this_machine_changes_nothing(door: Door, browser: Any):
    for server, path, values in (
        (
            door.prefect,
            f"/api/deployments/{door.deployment}/create_flow_run",
            door.shell_command,
        ),
        (door.mlflow, "/ajax-api/2.0/mlflow/experiments/create", {"name": "attack rebound"}),
    ):
        page = browser.new_page()
        address = server.replace("127.0.0.1", attacks.REBOUND)
        page.goto(address)  # to the browser, all that follows comes from the page's own server
        said = page.evaluate(attacks.POST, ["json", f"{address}{path}", values])
        assert said == "answered 403"
        assert "does not answer to" in page.evaluate(attacks.READ, f"{address}/")
        page.close()
    assert (door.attacked_runs(), door.attacked_experiments()) == (0, 0)


# A request without a browser.


@pytest.mark.parametrize("name", ["hostile.example", "hostile.example:4200", "127.0.0.1.evil", ""])
def test_a_foreign_host_header_is_refused(door: Door, name: str):
    for address in (
        f"{door.prefect}/api/health",
        f"{door.prefect}/api/flows/count",
        f"{door.mlflow}/health",
        f"{door.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0",
    ):
        assert httpx.get(address, headers={"Host": name}).status_code in (400, 403), address


def test_a_request_that_names_no_type_is_refused(door: Door):
    address = f"{door.prefect}/api/deployments/{door.deployment}/create_flow_run"
    answer = httpx.post(address, content=json.dumps(door.shell_command))
    assert answer.status_code == 403
    assert door.attacked_runs() == 0


def test_a_refusal_is_a_line_in_the_log(door: Door):
    for name, address in (("prefect", door.prefect), ("mlflow", door.mlflow)):
        httpx.get(address, headers={"Host": "hostile.example"})
        log = (door.home / "data" / "logs" / f"{name}.log").read_text()
        assert "refused /: this server does not answer to 'hostile.example'" in log, name


# What stays as it was.


@pytest.mark.browser
def test_the_pages_themselves_go_on_working(door: Door, browser: Any):
    from playwright.sync_api import expect

    outside: list[str] = []
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.on("response", lambda answer: outside.append(answer.url))
    by_name = door.prefect.replace("127.0.0.1", "localhost")
    page.goto(f"{by_name}/v2/deployments/deployment/{door.deployment}")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Quick run").click()
    expect(page.get_by_text("scheduled").first).to_be_visible(timeout=20_000)
    page.goto(f"{by_name}/deployments/deployment/{door.deployment}")  # the older page
    expect(page.get_by_text("one").first).to_be_visible(timeout=20_000)
    page.goto(f"{door.mlflow}/#/experiments")
    page.get_by_role("button", name="Create").first.click()
    page.get_by_placeholder("experiment name").fill("made by hand")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(page.get_by_text("made by hand").first).to_be_visible(timeout=20_000)
    page.close()
    ours = (by_name, door.prefect, door.mlflow)
    assert [url for url in outside if not url.startswith((*ours, "data:", "blob:"))] == []

    def ended() -> bool:
        runs = door.client.read_flow_runs(limit=200)
        return any(run.state and run.state.is_completed() for run in runs)

    wait_until(ended, "the run that was started by hand is completed", 60)
    assert not (door.home / "attacked").exists()


def test_what_servers_write_is_for_their_owner_alone(door: Door):
    for folder in ("data/prefect", "data/logs", "mlruns"):
        assert (door.home / folder).stat().st_mode & 0o077 == 0, folder
    for database in (*door.home.glob("data/prefect/*.db*"), *door.home.glob("mlruns/*.db*")):
        assert database.stat().st_mode & 0o177 == 0, database


# The server of a single command.


def test_nobody_but_the_command_can_call_the_server_it_starts(tmp_path: Path):
    write_tiny(tmp_path)
    stores.give_empty_stores(tmp_path)
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


# For other machines, with a password.


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """`rnnlm serve` for other machines."""
    home = tmp_path_factory.mktemp("locked")
    write_project(home)
    write_tiny(home)
    stores.give_empty_stores(home)
    serving = serve_others(home)
    with serving.ending():
        yield Locked(home, serving.addresses())


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
def test_without_the_password_nothing_is_answered(
    locked: Locked, credentials: tuple[str, str] | None
):
    mlflow, prefect = locked.addresses["mlflow"], locked.addresses["prefect"]
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
def test_without_the_password_no_socket_opens(locked: Locked, path: str, token: str | None):
    address = locked.addresses["prefect"].replace("http", "ws") + path
    with pytest.raises(WebSocketException), connect_socket(address) as socket:
        socket.recv(timeout=5)
    with (
        pytest.raises(WebSocketException),
        connect_socket(address, subprotocols=[Subprotocol("prefect")]) as socket,
    ):
        socket.send(json.dumps({"type": "auth", "token": token}))
        socket.recv(timeout=5)


def test_the_password_opens_the_pages_under_the_allowed_name_alone(locked: Locked):
    sign_in = httpx.BasicAuth("rnnlm", PASSWORD)
    for address, path in (
        (locked.addresses["mlflow"], "/version"),
        (locked.addresses["prefect"], "/api/admin/version"),
    ):
        for name, status in ((NAME, 200), (f"{NAME}:8080", 200), ("hostile.example", 403)):
            answer = httpx.get(f"{address}{path}", auth=sign_in, headers={"Host": name})
            assert answer.status_code == status, (name, path)


def test_every_command_works_with_the_password(locked: Locked):
    told = {name: locked.addresses[name.lower()] for name in ("PREFECT_API_URL", TRACKING)}
    told["RNNLM_PASSWORD_FILE"] = str(locked.home / "password")
    commands = (
        ("train", "tiny.toml", "--set", "name=mine"),
        ("generate", "mine", "--count", "20"),
        ("evaluate", "mine"),
        ("promote", "mine", "1", "--why", "a test"),
        ("history", "mine"),
        ("housekeeping",),
    )
    for command in commands:
        finished = run_cli(locked.home, *command, "--json", **told)
        assert finished.status == 0, (command, finished.err)
        assert PASSWORD not in finished.out + finished.err
    refused = run_cli(locked.home, "models", "--json", **{TRACKING: told[TRACKING]})
    assert refused.status == 1 and refused.err.count("\n") == 1
    assert "RNNLM_PASSWORD_FILE" in refused.err
