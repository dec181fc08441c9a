"""Test how `rnnlm serve` starts servers whose ports another program may take first."""

import dataclasses
import gc
import socket
import sys
from pathlib import Path

import pytest

from flows.runtime import startup_gc
from flows.runtime.home import Home
from flows.servers import standing
from flows.servers.processes import Command
from rnnlm.errors import ServerError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plan_of_files(folder: Path, port: int) -> standing._Plan:
    """Return a plan with one server, of files, instead of Prefect's and MLflow's."""
    words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    address = f"http://127.0.0.1:{port}"
    server = Command("files", words, folder / "files.log", {}, address)
    return standing._Plan(f"{address}/api", address, folder, (server,))


def test_servers_start_on_other_ports_if_another_program_was_faster(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = plan_of_files(tmp_path, other.getsockname()[1])
        free = plan_of_files(tmp_path, free_port())
        plan, supervisor = standing._start(Home(tmp_path), "worker", taken, lambda: free)
        supervisor.end()
    assert plan is free


def test_servers_run_with_the_usual_garbage_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _, supervisor = standing._start(
        Home(tmp_path), "worker", plan_of_files(tmp_path, free_port()), pytest.fail
    )
    startup_gc.rest()
    monkeypatch.setattr(supervisor, "_bury", lambda *_: sys.exit("buried"))
    supervisor._running[0].end()
    with pytest.raises(SystemExit, match="buried"):
        supervisor.run(print)
    assert gc.get_threshold() == startup_gc._USUAL
    gc.unfreeze()


def test_a_server_that_fails_for_another_reason_is_not_started_again(tmp_path: Path):
    plan = plan_of_files(tmp_path, free_port())
    broken = dataclasses.replace(
        plan.servers[0], words=[sys.executable, "-c", "raise SystemExit(3)"]
    )
    failing = dataclasses.replace(plan, servers=(broken,))
    with pytest.raises(ServerError, match="files did not start: exit status 3"):
        standing._start(Home(tmp_path), "worker", failing, pytest.fail)
