"""Unit tests of AccessControl, host names and the password."""

import base64
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.runtime import credentials
from flows.runtime.addresses import page, reason, redact, without_passwords
from flows.runtime.home import make_private
from flows.servers import access, hosts, stores
from flows.servers.access import AccessControl
from rnnlm.errors import ServerError
from tests.conftest import call_cli
from tests.flows.serving import NAME, free_port

NAMES = frozenset({"rnnlm.example"})
HERE = "http://localhost:4200"


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"origin {request.headers.get('origin')}")


async def greet(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def client(secret: str | None = None) -> TestClient:
    paths = [Route(path, answer, methods=["GET", "POST"]) for path in ("/", "/health")]
    app = Starlette(routes=[*paths, WebSocketRoute("/socket", greet)])
    return TestClient(AccessControl(app, NAMES, secret), base_url=HERE)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:4200", "127.0.0.1:1", "127.0.0.2", "[::1]:4200", "rnnlm.example:443"],
)
def test_the_server_answers_to_its_names_at_any_port(host: str):
    assert client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "hostile.example",
        "localhost.hostile.example",
        "localhost.",
        "localhost@hostile.example",
        "localhost#hostile.example",
        "hostile.example:127.0.0.1",
        "127.0.0.1.hostile.example:4200",
        "127.1",
        "2130706433",
        "::1",
        "[::1",
        "[::]",
        "0.0.0.0:4200",
        "",
    ],
)
def test_other_names_are_refused_with_a_hint(host: str):
    refused = client().get("/", headers={"Host": host})
    assert refused.status_code == 403
    assert "add one with --allow-host" in refused.text
    assert refused.text.count("\n") == 1


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_only_allowed_names_pass(host: str):
    answered = client().get("/", headers={"Host": host.encode("latin-1")})  # type: ignore[dict-item]
    name, _, port = host.lower().partition(":")
    ours = name in ("localhost", "rnnlm.example") or name.startswith("127.")
    assert answered.status_code == 403 or (ours and (not port or port.isdigit()))


def test_two_host_headers_are_refused():
    answered = client().get("/", headers=[("Host", "localhost"), ("Host", "hostile.example")])
    assert answered.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HERE}, 200),
        ({"Origin": "http://localhost:5000"}, 403),
        ({"Origin": "http://hostile.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://name", "Host": "name:80"}, 403),
        ({"Origin": "https://rnnlm.example", "Host": "rnnlm.example:443"}, 200),
        ({"Origin": "https://rnnlm.example", "Host": "rnnlm.example:80"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_pages_of_the_server_may_call_it(headers: dict[str, str], status: int, method: str):
    assert client().request(method, "/", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("method", "destination", "status"),
    [("GET", "document", 200), ("GET", "iframe", 403), ("POST", "document", 403)],
)
def test_other_sites_may_link_to_the_server_but_not_frame_it_or_post_forms(
    method: str, destination: str, status: int
):
    headers = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": destination,
    }
    assert client().request(method, "/", headers=headers).status_code == status


def test_the_application_sees_no_origin_and_its_pages_have_a_strict_policy():
    answered = client().get("/", headers={"Origin": HERE})
    assert answered.text == "origin None"
    assert answered.headers["x-frame-options"] == "SAMEORIGIN"
    policy = answered.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy


@pytest.mark.parametrize("headers", [{"Origin": "http://hostile.example"}, {"Host": "hostile"}])
def test_sockets_obey_the_same_rules(headers: dict[str, str]):
    ours = {"Host": "localhost:4200", "Origin": HERE}
    with client().websocket_connect("/socket", headers=ours):
        pass
    with (
        pytest.raises(WebSocketDisconnect),
        client().websocket_connect("/socket", headers=ours | headers),
    ):
        pass


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("rnnlm:secret-enough"), 200),
        (basic("rnnlm:secret-enougH"), 401),
        (basic("rnnlm:"), 401),
        (basic("admin:password1234"), 401),
        ({"Authorization": "Bearer secret-enough"}, 401),
        ({"Authorization": "Basic ???"}, 401),
        ({"Authorization": "Basic"}, 401),
    ],
)
def test_only_the_health_check_needs_no_password(headers: dict[str, str], status: int):
    asking = client("rnnlm:secret-enough")
    answered = asking.get("/", headers=headers)
    assert answered.status_code == status
    assert ("www-authenticate" in answered.headers) == (status == 401)
    assert asking.get("/health").status_code == asking.head("/health").status_code == 200
    assert asking.post("/health").status_code == 401


# The password and the names.


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (credentials.PASSWORD, credentials.PASSWORD_FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(hosts.ALLOWED_HOSTS, "")  # restored after the test


def test_the_password_comes_from_a_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert (credentials.read(), credentials.setting()) == (None, None)
    (tmp_path / "password").write_text("from-a-file\n")
    monkeypatch.setenv(credentials.PASSWORD_FILE, str(tmp_path / "password"))
    assert credentials.read() == "rnnlm:from-a-file"
    monkeypatch.setenv(credentials.PASSWORD, "from-a-variable")
    assert credentials.read() == "rnnlm:from-a-variable"
    assert credentials.setting() == credentials.PASSWORD


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (
            credentials.PASSWORD,
            "sEcr3t",
            "in RNNLM_PASSWORD is too short: 6 characters (expected 8",
        ),
        (credentials.PASSWORD, "sEcr3t with spaces", "only ASCII characters, no spaces"),
        (credentials.PASSWORD, "sEcr3t-ünicode", "ASCII"),
        (credentials.PASSWORD_FILE, "no/such/file", "No such file or directory (expected a file"),
        (credentials.PASSWORD_FILE, ".", "Is a directory"),
    ],
)
def test_an_invalid_password_gives_one_line_that_omits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, message: str
):
    monkeypatch.setenv(setting, value)
    finished = call_cli(tmp_path, "serve")
    assert finished.status == 1
    assert message in finished.err and finished.err.count("\n") == 1
    assert "sEcr3t" not in finished.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_servers_open_to_other_machines_need_a_password_and_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
):
    def refused(*options: str) -> str:
        monkeypatch.setenv(hosts.ALLOWED_HOSTS, "")
        finished = call_cli(tmp_path, "serve", "--host", host, *options)
        assert finished.status == 1 and finished.err.count("\n") == 1
        assert f"--host {host} exposes the servers to other machines" in finished.err
        assert not (tmp_path / "data").exists()
        return finished.err

    neither = refused()
    assert "set a password (RNNLM_PASSWORD_FILE=FILE) and a host name (--allow-host" in neither
    assert "set a password (RNNLM_PASSWORD_FILE=FILE), or" in refused("--allow-host", NAME)
    monkeypatch.setenv(credentials.PASSWORD, "long-enough")
    assert "set a host name (--allow-host NAME), or" in refused()
    hosts.allow([NAME])
    assert hosts.check_host(host) == host
    assert (host in hosts.allowed_names()) == (host == "192.0.2.1")


def test_an_allowed_name_on_loopback_also_needs_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    refused = call_cli(tmp_path, "serve", "--allow-host", NAME)
    assert "--allow-host rnnlm.example exposes the servers" in refused.err
    assert "set a password" in call_cli(tmp_path, "ui").err  # the name is in the environment now
    monkeypatch.setenv(credentials.PASSWORD, "long-enough")
    assert hosts.check_host() == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_password_and_no_name(host: str):
    assert hosts.check_host(host) == host
    assert hosts.allowed_names() == frozenset()


def test_a_name_of_this_machine_is_resolved_to_its_address(monkeypatch: pytest.MonkeyPatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert hosts.check_host("this-machine") == "127.0.1.1"


def test_a_host_that_does_not_resolve_is_a_one_line_error(tmp_path: Path):
    finished = call_cli(tmp_path, "serve", "--host", "nowhere.invalid")
    assert finished.err.startswith("error: --host nowhere.invalid does not resolve")


def test_servers_on_one_port_are_refused(tmp_path: Path):
    port = str(free_port())
    finished = call_cli(tmp_path, "serve", "--prefect-port", port, "--mlflow-port", port)
    assert f"Prefect and MLflow cannot share http://127.0.0.1:{port}" in finished.err


@pytest.mark.parametrize("name", ["*", "*.example", "http://x", "x:80", "1.2.3", "a b", "[::]"])
def test_invalid_host_names_are_refused(monkeypatch: pytest.MonkeyPatch, name: str):
    with pytest.raises(ServerError, match=r"--allow-host .* is not a host name"):
        hosts.allow([name])
    monkeypatch.setenv(hosts.ALLOWED_HOSTS, f"good.example, {name}")
    with pytest.raises(ServerError, match=r"RNNLM_ALLOWED_HOSTS .* is not a host name"):
        hosts.check_host()


@pytest.mark.parametrize("name", ["rnnlm.example", "rnnlm", "192.0.2.7", "2001:db8::1", "My-Host."])
def test_host_names_and_addresses_can_be_allowed(name: str):
    hosts.allow([name])
    assert name.lower() in hosts.allowed_names()


@pytest.mark.parametrize(
    "address",
    [
        "http://joe:{}@mlflow:5000/path",
        "postgresql+psycopg://joe@server:{}@db/mlflow?sslmode=require",
        "https://:{}@mlflow",
        "https://{}@mlflow",
        "sqlite://h/x?password={}&y=1",
    ],
)
@given(secret=st.from_regex(r"[A-Z/@:+%!?#-]{8,20}", fullmatch=True))
def test_no_part_of_a_password_is_shown(address: str, secret: str):
    for said in (
        redact(address.format(secret)),
        without_passwords(f"cannot reach {address.format(secret)} (refused), see http://here/"),
        page(address.format(secret)).partition("?")[0],
    ):
        assert not {secret[:4], secret[-4:]} & {said[at : at + 4] for at in range(len(said))}
    assert said.startswith(address.partition(":")[0])


def test_messages_on_unreachable_addresses_omit_the_password():
    said = "see http://joe:p@ss@m:5000/health?password=x&y=1, and http://m"
    assert without_passwords(said) == "see http://…@m:5000/health?password=…&y=1, and http://m"
    assert redact("postgresql://me:se cret@db/x") == "postgresql://…@db/x"
    assert redact("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
    assert reason(ValueError("bad port 'secret'")) == "not a valid address"
    assert reason(OSError("connection refused")) == "connection refused"


@pytest.mark.parametrize("sign", [*" /?@#"])
@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("PREFECT_API_URL", "http://u@server:{}@127.0.0.1:1/api"),
        ("MLFLOW_TRACKING_URI", "http://u:{}@127.0.0.1:1"),
        (stores.MLFLOW_SETTING, "postgresql://u:{}@127.0.0.1:1/db"),
    ],
)
def test_an_odd_password_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, address: str, sign: str
):
    monkeypatch.setenv(setting, address.format(f"s3cr{sign}et99"))
    finished = call_cli(tmp_path, "serve")
    assert finished.status == 1 and finished.err.count("\n") == 1
    assert "s3cr" not in finished.err and "et99" not in finished.err


def test_clients_get_the_password_unless_they_have_their_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(credentials.PASSWORD, "long-enough")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "joe")
    for name in ("PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    credentials.hand_to_clients()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "rnnlm:long-enough"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "joe"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "long-enough"


def test_an_empty_client_password_counts_as_unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(credentials.PASSWORD, "long-enough")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "")
    credentials.hand_to_clients()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "rnnlm:long-enough"


def test_a_folder_in_use_can_be_made_private(tmp_path: Path):
    journal = tmp_path / "mlflow.db-journal"
    journal.symlink_to(tmp_path / "gone")  # is listed, but deleted before it is processed
    (tmp_path / "mlflow.db").touch(0o644)
    make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "mlflow.db").stat().st_mode & 0o777 == 0o600


def test_a_request_cannot_forge_lines_of_the_log(caplog: pytest.LogCaptureFixture):
    client().get("/x%0aFORGED%1b[31m", headers={"Host": "hostile\x1b.example"})
    (record,) = [one for one in caplog.records if one.name == access.__name__]
    assert record.getMessage().isprintable() and "FORGED" in record.getMessage()
