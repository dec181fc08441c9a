"""Test the Dockerfile, by running its instructions without Docker, and compose.yaml."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from flows.runtime.home import Home
from flows.servers.processes import Command, Process
from tests import stores
from tests.conftest import ROOT
from tests.flows import conftest
from tests.flows.serving import free_port

DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
POSTGRES, RNNLM = "POSTGRES_PASSWORD=x1y2", "RNNLM_PASSWORD=long-enough"


def instructions(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a build stage as pairs of the keyword and the rest.

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
    assert "HEALTHCHECK" in last
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


def test_compose_has_no_default_password_and_listens_only_on_this_machine():
    for given, missing in ((RNNLM, "POSTGRES_PASSWORD"), (POSTGRES, "RNNLM_PASSWORD")):
        refused = composed(given)
        assert refused.returncode != 0
        assert missing in refused.stderr
    services = yaml.safe_load(composed(POSTGRES, RNNLM).stdout)["services"]
    assert {*services} == {"postgres", "databases", "prefect", "mlflow", "worker"}
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:5000:5000", "127.0.0.1:4200:4200"]
    opened = yaml.safe_load(composed(POSTGRES, RNNLM, "RNNLM_BIND=0.0.0.0").stdout)
    assert "0.0.0.0:5000:5000" in opened["services"]["mlflow"]["ports"]


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.parametrize(("name", "health"), [("prefect", "/api/health"), ("mlflow", "/health")])
def test_the_servers_of_compose_require_the_password_and_an_allowed_name(
    tmp_path: Path, name: str, health: str
):
    stores.give_empty_stores(tmp_path)
    home, port = Home(tmp_path), str(free_port())
    answered = composed(POSTGRES, RNNLM, "RNNLM_HOSTS=rnnlm.example")
    service = yaml.safe_load(answered.stdout)["services"][name]
    settings = {
        key: value for key, value in service["environment"].items() if "DATABASE" not in key
    }
    settings["MLFLOW_BACKEND_STORE_URI"] = home.tracking_uri
    settings |= {"PREFECT_HOME": str(home.prefect), "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path)}
    words = [port if word in ("4200", "5000") else word for word in service["entrypoint"]]
    words[0] = str(Path(sys.executable).with_name(words[0]))
    command = Command(name, words, tmp_path / "log", settings, f"http://127.0.0.1:{port}{health}")
    server = Process(command)
    try:
        server.wait_until_it_answers()
        path = "/api/flows/count" if name == "prefect" else "/version"
        address, sign_in = f"http://127.0.0.1:{port}{path}", httpx.BasicAuth("rnnlm", "long-enough")
        method = "GET" if name == "mlflow" else "POST"
        assert httpx.request(method, address).status_code in (401, 403)
        for host, refused in ((name, False), ("rnnlm.example", False), ("hostile.example", True)):
            answer = httpx.get(address, headers={"Host": host}, auth=sign_in)
            assert (answer.status_code == 403) == refused, host
            assert answer.status_code != 401
    finally:
        server.end()


def test_the_servers_are_tested_with_the_settings_of_compose():
    text = json.dumps(yaml.safe_load(COMPOSE.read_text())["services"])
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
