"""Server processes: choose a port, start one, wait for it, end it and everything it started.

Every process that a command starts has the command's mark in its environment, including processes
that its servers start in other process groups and sessions. `guarding` provides the mark and a
guard: a small process whose standard input only the command holds open. When the command ends,
however it ends, that input closes, and the guard ends every marked process.
"""

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rnnlm.errors import ServerError

STARTUP_SECONDS = 120.0
GRACE_SECONDS = 10.0
MARK = "RNNLM_SERVED_BY"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to call, not to listen
_LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class Command:
    """Description of a server process.

    Attributes:
        name: Name for messages.
        words: The program and its arguments.
        log: File that its output is appended to; a large one is renamed to `.log.1` first.
        environment: Variables that are added to this process's environment.
        health: Address that answers once it is up; None for a process that serves nothing.
    """

    name: str
    words: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    health: str | None = None


class Process:
    """A running server in its own process group."""

    def __init__(self, command: Command) -> None:
        """Start it."""
        self.command = command
        self.began = time.monotonic()
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            if command.log.stat().st_size > _LOG_BYTES:
                command.log.replace(command.log.with_suffix(".log.1"))
        with command.log.open("ab") as file:
            self._popen = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **command.environment},
                start_new_session=True,  # Ctrl-C reaches only the command; servers end last
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._popen.poll() is None

    @property
    def answers(self) -> bool:
        """Whether the process is running and its server answers."""
        return self.is_running and (self.command.health is None or responds(self.command.health))

    def ending(self) -> str:
        """Return how it ended and the last line of its log."""
        status = self._popen.poll()
        if status is not None and status < 0:
            return f"killed by signal {-status}"
        words = last_words(self.command.log)
        return f"exit status {status}{f', {words}' if words else ''} (see {self.command.log})"

    def wait_until_it_answers(self) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: The server ended or did not answer in time.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            if self.answers:
                return
            if not self.is_running:
                raise ServerError(f"{self.command.name} did not start: {self.ending()}")
            time.sleep(0.1)
        raise ServerError(
            f"{self.command.name} did not answer in {STARTUP_SECONDS:.0f} s; see {self.command.log}"
        )

    def ask_to_end(self) -> None:
        """Send SIGTERM to the whole group."""
        self._signal(signal.SIGTERM)

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """End the whole group and wait for it."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=grace)
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)


@contextlib.contextmanager
def guarding() -> Iterator[str]:
    """Yield a mark for all processes started in this context; end the marked ones afterwards.

    If this process is killed, the guard ends them.
    """
    mark = secrets.token_hex(8)
    environment = {**os.environ, "PYTHONPATH": _path_to_here()}
    guard = subprocess.Popen(
        [sys.executable, "-m", "flows.servers.processes", mark],
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    os.environ[MARK] = mark
    try:
        yield mark
    finally:
        del os.environ[MARK]
        end_all(lambda environment: environment.get(MARK) == mark)
        if guard.stdin:
            guard.stdin.close()
        guard.wait()


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """End this context without an error on Ctrl-C, SIGTERM or SIGHUP, after its clean-up.

    This works even if a shell started us with Ctrl-C ignored. Later signals do not interrupt the
    clean-up.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def find(wanted: Callable[[Mapping[str, str]], bool]) -> list[psutil.Process]:
    """Return the other processes that we may inspect and whose environment is wanted."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and wanted(process.environ()):
                found.append(process)
    return found


def end_all(wanted: Callable[[Mapping[str, str]], bool], grace: float = GRACE_SECONDS) -> None:
    """Ask the processes whose environment is wanted to end; kill them after `grace` seconds.

    Killing repeats until none is left, because a process may start another while it is killed.
    """
    found = find(wanted)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    if found:
        psutil.wait_procs(found, timeout=grace)
    while found := find(wanted):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def responds(url: str) -> bool:
    """Return whether a server answers at an address without an error."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of a server
            return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def choose_port(host: str, asked: int | None, usual: int, option: str) -> int:
    """Return the requested port; without one, the usual port, or a free one if that is taken.

    Raises:
        ServerError: The requested port is taken, or nothing can listen on the host.
    """
    if asked is not None:
        fault = _fault_of_port(host, asked)
        if fault:
            raise ServerError(f"{option} {asked} on {host}: {fault}; choose another one")
        return asked
    if _fault_of_port(host, usual) is None:
        return usual
    try:
        with _socket(host) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ServerError(
            f"no port is free on {host} ({error.strerror}); use an address of this machine"
        ) from error


def address_of(host: str, port: int) -> str:
    """Return the address at which this machine reaches a server on a host and port."""
    called = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{called}:{port}"


def last_words(log: Path, size: int = 4096) -> str:
    """Return the last line of a log, shortened."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


def _fault_of_port(host: str, port: int) -> str | None:
    try:
        with _socket(host) as probe:
            probe.bind((host, port))
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _socket(host: str) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just released is free
    return probe


def _path_to_here() -> str:
    here = str(Path(__file__).parent.parent.parent)
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))


def _guard(mark: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(lambda environment: environment.get(MARK) == mark)


if __name__ == "__main__":
    _guard(sys.argv[1])
