"""Test what a command does when its Prefect server is killed."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.runtime.home import Home
from flows.servers import embedded
from flows.servers.embedded import PrefectServer
from tests.conftest import ROOT, write_tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, told: list[str]) -> Iterator[PrefectServer]:
    server = PrefectServer(Home(tmp_path), told.append)
    yield server
    server.stop()


needs_hangups = pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored, as under nohup"
)


def kill(server: PrefectServer, number: signal.Signals = signal.SIGKILL) -> None:
    process = server._process
    process.send_signal(number)
    process.wait()


def answers(server: PrefectServer, seconds: float = 60.0) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"{server.url}/health", timeout=seconds) as response,
    ):
        return bool(response.status == 200)
    return False


def test_requests_wait_for_the_new_server_when_the_old_one_is_killed(server, told):
    server.wait()
    kill(server)
    assert answers(server), "one request, without retries"
    assert told == ["Prefect's server ended (killed by signal 9); restarting it"]


def test_a_server_that_is_not_needed_ends_before_it_has_started(tmp_path: Path):
    server = PrefectServer(Home(tmp_path))
    process = psutil.Process(server._process.pid)
    server.stop()
    assert not process.is_running()
    assert server._process.returncode == 0
    assert embedded._read_tail(server._log) == ""


@needs_hangups
def test_a_server_that_is_killed_while_it_starts_is_restarted(server, told):
    kill(server, signal.SIGHUP)
    server.wait()
    assert answers(server)
    assert told == ["Prefect's server ended (killed by signal 1); restarting it"]


def test_requests_fail_at_once_when_the_server_is_lost_for_good(server, monkeypatch):
    monkeypatch.setattr(embedded, "MOST_RESTARTS", 0)
    server.wait()
    kill(server)
    deadline = time.monotonic() + 20
    while not server.lost and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "run the same command again" in server.lost
    time.sleep(0.5)
    began = time.monotonic()
    assert not answers(server)
    assert time.monotonic() - began < 5


def test_a_server_that_was_stopped_is_not_restarted(server, told):
    server.wait()
    process = server._process
    server.stop()
    time.sleep(1.0)
    assert process.poll() is not None
    assert server._process is process
    assert not told


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_full_disk_when_the_server_ends_is_no_traceback(server, monkeypatch, is_stopped):
    server.wait()

    def fail(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embedded, "FileLock", fail)
    if is_stopped:
        server.stop()
        time.sleep(0.5)  # an error in the server's thread would fail this test
        assert not server.lost
    else:
        kill(server)
        deadline = time.monotonic() + 20
        while not server.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "No space left" in server.lost


@pytest.fixture
def trained_under_fire(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Return a function that trains, kills Prefect's server, and returns status and errors."""
    write_tiny(tmp_path)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    environment = {**kept, "RNNLM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    err = tmp_path / "err"

    def train(number: signal.Signals, most: int) -> tuple[int, str]:
        killed = set[int]()
        with err.open("wb") as file:
            command = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "train", "tiny.toml", "--json"],
                cwd=tmp_path,
                env=environment | {"PREFECT_CLIENT_MAX_RETRIES": "3"},
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        try:
            deadline = time.monotonic() + 250
            while command.poll() is None and time.monotonic() < deadline:
                if len(killed) < most and "  ingest " in err.read_text():
                    killed |= kill_servers(command.pid, number, killed)
                time.sleep(0.05)
            assert command.poll() is not None, f"hung: {err.read_text()}"
        finally:
            command.kill()
            command.wait()
        return command.returncode, err.read_text()

    return train


def kill_servers(command: int, number: signal.Signals, but: set[int]) -> set[int]:
    """Kill a command's Prefect servers, except those in `but`; return the ids of their processes.

    Args:
        command: Process id of the command.
        number: Signal to send.
        but: Ids of processes that have been killed already.
    """
    found = set[int]()
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(command).children(recursive=True):
            is_server = "flows.servers.prefect_server" in child.cmdline()
            if is_server and child.pid not in but:
                child.send_signal(number)
                found.add(child.pid)
    return found


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGHUP, marks=needs_hangups)]
)
def test_a_training_whose_server_is_killed_ends_as_if_nothing_had_happened(
    trained_under_fire, number
):
    status, said = trained_under_fire(number, most=1)
    assert status == 0, said
    assert said.count("Prefect's server ended") == 1
    assert "  review " in said


@pytest.mark.soak
def test_a_training_whose_server_is_killed_again_and_again_ends_in_one_line(trained_under_fire):
    status, said = trained_under_fire(signal.SIGKILL, most=10)
    assert status == 1
    assert said.count("error: ") == 1
    last = said.splitlines()[-1]
    assert last.startswith("error: Prefect's embedded server")
    assert "killed by signal 9" in last
    assert "Error logging" not in said
    assert "Traceback" not in said
