"""Test the Dockerfile, by running its instructions without Docker, and compose.yaml."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.servers.processes import Command, Process
from tests.conftest import ROOT, write_tiny
from tests.flows import conftest
from tests.flows.serving import free_port

DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
SECRETS = "/run/secrets/"
RNNLM_SERVICES = ("prefect", "mlflow", "worker")


def instructions(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a build stage as pairs: the keyword, and the rest of the line.

    Comments are removed, and continued lines are joined.
    """
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    begin = next(n for n, line in enumerate(lines) if line.endswith(f" AS {stage}"))
    rest = lines[begin + 1 :]
    end = next((n for n, line in enumerate(rest) if line.startswith("FROM ")), len(rest))
    words = [line.partition(" ") for line in rest[:end] if line.strip()]
    return [(word, after.strip()) for word, _, after in words]


def test_the_last_stage_has_no_compiler_and_is_not_root():
    text = DOCKERFILE.read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "gcc" not in last
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false" in last
    assert not re.search(r"^ARG PYTHON_IMAGE=.*(latest|python)$", text, re.MULTILINE)


def test_files_that_the_image_copies_are_in_its_context():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE
    )
    assert {name for names in copied for name in names.split()} == kept
    assert all((ROOT / name).exists() for name in kept)


def composed(*environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("podman-compose")
    return subprocess.run(
        [program, "--dry-run", "-f", COMPOSE, "config"],
        env={"PATH": os.environ["PATH"], **dict(pair.split("=") for pair in environment)},
        capture_output=True,
        text=True,
    )


def services(*environment: str) -> dict[str, Any]:
    resolved = composed(*environment)
    assert resolved.returncode == 0, resolved.stderr
    found: dict[str, Any] = yaml.safe_load(resolved.stdout)["services"]
    return found


def test_compose_listens_only_on_this_machine():
    found = services()
    assert {*found} == {"postgres", *RNNLM_SERVICES}
    ports = [port for service in found.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:5000:5000", "127.0.0.1:4200:4200"]
    assert "0.0.0.0:5000:5000" in services("RNNLM_BIND=0.0.0.0")["mlflow"]["ports"]


def test_passwords_are_in_files_and_have_no_default():
    resolved = yaml.safe_load(composed("POSTGRES_PASSWORD=x1y2", "RNNLM_PASSWORD=x1y2").stdout)
    assert "x1y2" not in json.dumps(resolved)
    assert {*resolved["secrets"]} == {"postgres_password", "rnnlm_password"}
    for secret in resolved["secrets"].values():
        assert not (COMPOSE.parent / secret["file"]).exists()
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "docker/secrets/" in ignored
    for name, service in resolved["services"].items():
        named = {*re.findall(rf"{SECRETS}(\w+)", json.dumps(service))}
        assert named == {*service["secrets"]}, name
        settings = " ".join(service["environment"].values())
        assert "PASSWORD" not in settings and "://rnnlm:" not in settings
    assert "postgres_password" not in resolved["services"]["worker"]["secrets"]


def test_containers_have_no_privileges_and_write_only_where_they_must():
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service and "privileged" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["user"] in ("1000", "postgres")
        limits = service["deploy"]["resources"]["limits"]
        assert 0 < limits["pids"] <= 4096 and limits["memory"]
        mounted = [volume.split(":") for volume in service.get("volumes", [])]
        places = {target for _, target, *options in mounted if options != ["ro"]}
        places |= {*service["tmpfs"]}
        assert "/tmp" in places
        allowed = {"/tmp", "/home/rnnlm/state", "/var/lib/postgresql/data", "/var/run/postgresql"}
        assert places <= allowed
        if name in RNNLM_SERVICES:
            assert "/home/rnnlm/state" in places
            assert service["environment"]["HOME"] == "/tmp"


def test_only_the_servers_reach_the_database():
    resolved = yaml.safe_load(composed().stdout)
    assert resolved["networks"]["database"]["internal"] is True
    networks = {name: {*service["networks"]} for name, service in resolved["services"].items()}
    assert networks == {
        "postgres": {"database"},
        "prefect": {"database", "pages"},
        "mlflow": {"database", "pages"},
        "worker": {"pages"},
    }


def test_every_server_has_a_health_check_that_others_wait_for():
    found = services()
    waited = {
        (other, condition["condition"])
        for service in found.values()
        for other, condition in service.get("depends_on", {}).items()
    }
    for name, port in (("prefect", 4200), ("mlflow", 5000), ("postgres", None)):
        check = found[name]["healthcheck"]
        assert check["test"][0] == "CMD" and check["retries"] > 1
        assert "start_interval" not in check  # Podman 4.3 refuses it
        assert port is None or f"127.0.0.1:{port}" in check["test"][-1]
        assert (name, "service_healthy") in waited
    # Podman 4.3 cannot start a container that requires one that has ended.
    assert {condition for _, condition in waited} == {"service_healthy"}


CONFINE = """
set -e
mkdir -p state tmp
for place in state tmp; do mount --bind $place $place; done
mount --options remount,bind,ro /
if touch "$0" 2> /dev/null; then echo "the root can be written to"; exit 1; fi
exec setpriv --bounding-set -all --inh-caps -all --no-new-privs "$@"
"""
"""Shell script that runs a command without capabilities in a mount namespace with a read-only root.
Only the folders `state` and `tmp` can be written to, as in a container of compose.yaml."""


def can_confine() -> bool:
    """Return whether this machine lets the tests make mount namespaces."""
    if not (shutil.which("unshare") and shutil.which("setpriv")) or os.geteuid() != 0:
        return False
    script = "mount --bind /tmp /tmp && mount --options remount,bind,ro /"
    return not subprocess.run(["unshare", "--mount", "sh", "-c", script]).returncode


confined = pytest.mark.skipif(not can_confine(), reason="mount namespaces are not allowed here")


class Container:
    """What a service of compose.yaml runs, with its paths, ports and addresses replaced."""

    def __init__(self, folder: Path, replaced: dict[str, str]) -> None:
        secrets = folder / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "postgres_password").write_text("x1y2\n")
        (secrets / "rnnlm_password").write_text("long-enough\n")
        self.folder = folder
        self.replaced = {
            SECRETS: f"{secrets}/",
            "/home/rnnlm/state": str(folder / "state"),
            "/tmp": str(folder / "tmp"),
            **replaced,
        }

    def here(self, text: str) -> str:
        """Return a text with the container's paths, ports and addresses replaced by this test's."""
        pattern = "|".join(map(re.escape, self.replaced))
        return re.sub(pattern, lambda found: self.replaced[found[0]], text)

    def command(self, service: dict[str, Any], words: list[str], health: str | None) -> Command:
        settings = {key: self.here(str(v)) for key, v in service["environment"].items()}
        settings |= {"TMPDIR": str(self.folder / "tmp"), "RNNLM_HOME": str(self.folder / "state")}
        settings |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        settings |= {"PYTHONPATH": str(ROOT)}
        script = f"cd {self.folder}\n{CONFINE.replace('exec', f'cd {ROOT}; exec')}"
        run = ["unshare", "--mount", "sh", "-c", script, str(ROOT / "outside")]
        return Command("it", [*run, *map(self.here, words)], self.folder / "log", settings, health)


@confined
@pytest.mark.service
@pytest.mark.slow
@pytest.mark.parametrize(("name", "health"), [("prefect", "/api/health"), ("mlflow", "/health")])
def test_the_servers_of_compose_work_confined_and_require_password_and_name(
    tmp_path: Path, name: str, health: str
):
    port, service = str(free_port()), services("RNNLM_HOSTS=rnnlm.example")[name]
    container = Container(tmp_path, {"4200": port, "5000": port})
    database = f"sqlite+aiosqlite:///{tmp_path}/state/prefect.db"
    if name == "mlflow":
        database = f"sqlite:///{tmp_path}/state/mlflow.db"
    stored = re.search(r'"(postgresql\+\w+://[^"]*)"', service["entrypoint"][2])
    assert stored
    container.replaced = {stored[1]: database, **container.replaced}
    words = [*service["entrypoint"], *service["command"]]
    address = f"http://127.0.0.1:{port}"
    server = Process(container.command(service, words, f"{address}{health}"))
    try:
        server.wait_until_it_answers()
        place = "/api/flows/count" if name == "prefect" else "/version"
        page, sign_in = f"{address}{place}", httpx.BasicAuth("rnnlm", "long-enough")
        method = "GET" if name == "mlflow" else "POST"
        assert httpx.request(method, page).status_code in (401, 403)
        for host, refused in ((name, False), ("rnnlm.example", False), ("hostile.example", True)):
            answer = httpx.get(page, headers={"Host": host}, auth=sign_in)
            assert (answer.status_code == 403) == refused, host
            assert answer.status_code != 401
        assert "<html" in httpx.get(f"{address}/", auth=sign_in, follow_redirects=True).text
    finally:
        server.end()
    assert not re.search(
        "(?i)read-only file system|permission denied", server.command.log.read_text()
    )


@confined
@pytest.mark.slow
@pytest.mark.soak
def test_a_training_works_confined(tmp_path: Path):
    write_tiny(tmp_path)
    service = services()["worker"]
    container = Container(tmp_path, {"http://prefect:4200/api": "", "http://mlflow:5000": ""})
    command = container.command(service, [], None)
    settings = {key: value for key, value in command.environment.items() if value}
    words = ["rnnlm", "train", str(tmp_path / "tiny.toml"), "--json", "--set"]
    words += [f"corpus.source={tmp_path / 'tiny.txt'}"]
    finished = subprocess.run(
        [*command.words, *words], env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["version"] == 1
    assert not re.search("(?i)read-only file system|permission denied", finished.stderr)


def test_the_servers_are_tested_with_the_settings_of_compose():
    text = json.dumps(services())
    tested = Path(conftest.__file__).read_text()
    for setting in (
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_ARTIFACTS_DESTINATION",
    ):
        assert setting in text
        assert setting in tested
    assert "postgresql+asyncpg://" in text and "postgresql+asyncpg://" in tested
    assert "postgresql+psycopg://" in text and "postgresql+psycopg://" in tested


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.soak
def test_the_installed_image_runs(tmp_path: Path):
    arguments = dict(
        rest.split("=", 1) for word, rest in instructions("build") if word == "ARG" and "=" in rest
    )
    if not reachable(arguments["TORCH_INDEX"]):
        arguments["TORCH_INDEX"] = (
            tmp_path.as_uri()
        )  # an empty index; torch comes from pip's own configuration
    environment = {**os.environ, **arguments}
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = f"{Path(sys.base_exec_prefix) / 'bin'}{os.pathsep}{environment['PATH']}"
    prefix = tmp_path / "venv"
    environment["PIP_NO_COMPILE"] = "1"  # takes half the time
    for word, written in instructions("build"):
        rest = written.replace("/opt/rnnlm", str(prefix))
        if word == "ENV":
            for name, value in re.findall(r"(\w+)=(\S+)", rest):
                environment[name] = value.replace("$PATH", environment["PATH"])
            environment.pop("PIP_NO_CACHE_DIR", None)  # only saves space in the image
        elif word == "COPY":
            *names, place = rest.split()
            for name in names:
                copy(ROOT / name, tmp_path / place / (name if place == "./" else ""))
        elif word == "RUN" and "apt-get" not in rest:
            done = subprocess.run(
                ["sh", "-ec", rest], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shutil.rmtree(tmp_path / "rnnlm")
    shutil.rmtree(tmp_path / "flows")
    said = subprocess.run(
        [prefix / "bin" / "rnnlm", "--help"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert said.returncode == 0, said.stderr
    assert b"serve" in said.stdout
    modules = "flows.retrain, flows.servers.standing, psycopg, rnnlm.kernels"
    subprocess.run(
        [prefix / "bin" / "python", "-c", f"import {modules}"],
        cwd=tmp_path,
        env=environment,
        check=True,
    )


def reachable(address: str) -> bool:
    from flows.servers.processes import responds

    return responds(address)


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    else:
        shutil.copy(source, target)
