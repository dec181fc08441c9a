"""Test that a server counts as started only if it is our own process that answers."""

import http.server
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.servers import processes
from flows.servers.processes import Command, Process
from rnnlm.errors import ServerError


@pytest.fixture
def foreign() -> int:
    """The port of a server that this process runs, and that answers everything with 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def start(tmp_path: Path, port: int, *words: str) -> Process:
    health = f"http://127.0.0.1:{port}/"
    return Process(Command("web", [sys.executable, *words], tmp_path / "log", {}, health))


def test_the_answers_of_another_server_on_the_port_do_not_count(foreign: int, tmp_path: Path):
    process = start(tmp_path, foreign, "-c", "import time; time.sleep(60)")
    try:
        assert processes.responds(process.command.health or "")
        assert process.is_running
        assert not process.answers
    finally:
        process.end()


def test_a_server_whose_port_was_taken_in_the_meantime_is_an_error(foreign: int, tmp_path: Path):
    words = ("-m", "http.server", "--bind", "127.0.0.1", str(foreign))
    process = start(tmp_path, foreign, *words)
    with pytest.raises(ServerError, match=r"web did not start: exit status 1, .*in use"):
        process.wait_until_it_answers()
    process.end()


@pytest.mark.parametrize("inside", [False, True])
def test_a_server_counts_whether_it_or_its_child_listens(tmp_path: Path, inside: bool):
    port = processes.choose_port("127.0.0.1", None, 1, "")
    words = ["-m", "http.server", "--bind", "127.0.0.1", str(port)]
    if inside:
        call = f"import subprocess, sys; subprocess.run([sys.executable, *{words!r}])"
        words = ["-c", call]
    process = start(tmp_path, port, *words)
    try:
        process.wait_until_it_answers()
        assert time.monotonic() - process.began < processes.STARTUP_SECONDS
    finally:
        process.end()
