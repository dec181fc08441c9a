"""Helpers that start processes for server tests: PostgreSQL, and `rnnlm serve` as installed."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT

PATIENCE_SECONDS = 200.0
PASSWORD = "correct-horse-battery"
NAME = "rnnlm.example"
DATABASE_PASSWORD = "kept-in-the-dark"
RNNLM = Path(sys.executable).with_name("rnnlm")
"""Path of the installed command `rnnlm`."""


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Run a real PostgreSQL server; yield its address, `user:password@host:port`.

    The server accepts any password; the tests check where the password in the address appears.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("no PostgreSQL here (apt-get install postgresql)")
    binaries = Path(initdb).parent
    folder = Path(tempfile.mkdtemp(prefix="rnnlm-postgresql-"))
    user = None
    if os.geteuid() == 0:  # initdb refuses root
        user = "nobody"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"

    def run(*words: str) -> None:
        said = subprocess.run(words, user=user, cwd=folder, capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr

    try:
        run(initdb, "-D", f"{folder}/data", "-U", "rnnlm", "--auth=trust", "--no-sync")
        control = [f"{binaries}/pg_ctl", "-D", f"{folder}/data"]
        log = f"{folder}/log"
        subprocess.run(
            [*control, "-o", options, "-l", log, "-w", "start"],
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for name in ("prefect", "mlflow"):
            run(f"{binaries}/createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "rnnlm", name)
        yield f"rnnlm:{DATABASE_PASSWORD}@127.0.0.1:{port}"
        run(*control, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Running:
    """The installed command in a separate process."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.said: list[str] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        self.process = subprocess.Popen(
            [RNNLM, *arguments],
            cwd=home,
            env={**kept, "RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._heard = threading.Thread(target=self._hear, daemon=True)
        self._heard.start()

    def first_line(self) -> str:
        """Return the next line on stdout; the first is printed once everything is up."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "".join(self.said)
        return line

    def addresses(self) -> dict[str, Any]:
        """Return the JSON object that the command prints."""
        return json.loads(self.first_line())

    def processes(self) -> list[psutil.Process]:
        """Return all processes that the command started, found by their RNNLM_HOME."""
        return [
            process
            for process in psutil.process_iter()
            if self.process.pid != process.pid
            and environment(process).get("RNNLM_HOME") == str(self.home)
        ]

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self._heard.join()
        if self.process.stdout:
            self.process.stdout.close()
        if self.process.stderr:
            self.process.stderr.close()

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """End the command when the context ends."""
        try:
            yield
        finally:
            self.end(signal.SIGTERM)

    def _hear(self) -> None:
        assert self.process.stderr
        self.said.extend(self.process.stderr)


def serve_others(home: Path, **environment: str) -> Running:
    """Start `rnnlm serve` on all interfaces, with an allowed host name and a password."""
    (home / "password").write_text(f"{PASSWORD}\n")
    options = ["--json", "--host", "0.0.0.0", "--allow-host", NAME, *free_ports()]
    settings = {"RNNLM_PASSWORD_FILE": str(home / "password"), **environment}
    return Running(home, "serve", *options, **settings)


def environment(process: psutil.Process) -> dict[str, str]:
    """Return the environment of a process; empty if the process has ended or is another user's."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def free_ports() -> list[str]:
    """Return options of `serve` with free ports, so that tests can run in parallel."""
    return ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(claim: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until `claim` returns a true value, and return that value; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := claim():
            return value
        time.sleep(0.2)
    raise AssertionError(f"not in {seconds:.0f} s: {what}")
