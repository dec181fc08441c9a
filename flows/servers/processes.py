"""Start server processes, wait until they answer, and end them with everything they started.

A command that starts servers sets an environment variable to a random value, its mark. All
processes that the servers start inherit the mark, even in other process groups and sessions, so
they can be found. `guarding` sets the mark and starts a guard: a small process whose standard input
only the command holds open. When the command ends, even if it is killed, that input closes, and the
guard ends every marked process.
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
from urllib.parse import urlsplit

import psutil

from rnnlm.errors import ServerError

STARTUP_SECONDS = 120.0
GRACE_SECONDS = 10.0
MARK = "RNNLM_SERVED_BY"  # name of the environment variable that holds the mark
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - not to listen on
_LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class Command:
    """What is needed to start a server process.

    Attributes:
        name: Name of the server in messages.
        words: The program and its arguments.
        log: File to which the output is appended; a large file is renamed to `.log.1` first.
        environment: Environment variables to set in addition to those of this process.
        health: Address that answers once the server is up; None for a process that serves nothing.
    """

    name: str
    words: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    health: str | None = None


class Process:
    """A server process, in a separate process group and session.

    Attributes:
        command: The command that started the process.
        began: Start time, as `time.monotonic` counts it.
    """

    def __init__(self, command: Command) -> None:
        """Start the process."""
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
        """Whether the process is running and its server answers.

        Another program may have taken the port in the meantime; its answers do not count.
        """
        health = self.command.health
        if not self.is_running or health is None:
            return self.is_running
        return responds(health) and self._listens_on(urlsplit(health).port)

    def _listens_on(self, port: int | None) -> bool:
        """Return whether the process, or one that it started, listens on a port."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._popen.pid)
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    try:
                        found = process.net_connections("tcp")
                    except psutil.AccessDenied:
                        return True  # this system does not tell; believe the answer
                    for connection in found:
                        is_open = connection.status == psutil.CONN_LISTEN
                        if is_open and connection.laddr and connection.laddr.port == port:
                            return True
        return False

    def ending(self) -> str:
        """Return how the process ended: its exit status and last line of log, or a signal."""
        status = self._popen.poll()
        if status is not None and status < 0:
            return f"killed by signal {-status}"
        words = last_words(self.command.log)
        return f"exit status {status}{f', {words}' if words else ''} (see {self.command.log})"

    def wait_until_it_answers(self) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: The server ended, or did not answer within `STARTUP_SECONDS`.
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
        """Send SIGTERM to the whole process group, and return without waiting."""
        self._signal(signal.SIGTERM)

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """End the whole process group and wait until the server has ended.

        Args:
            grace: Seconds to wait after SIGTERM before the group is killed.
        """
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
    """Yield a mark for all processes that are started in this context, and end them afterwards.

    The module docstring describes the mark. If this process is killed, the guard ends them.
    """
    mark = secrets.token_hex(8)
    environment = {**os.environ, "PYTHONPATH": _path_to_here()}
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.servers.processes", mark],
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
    """Leave this context on Ctrl-C, SIGTERM or SIGHUP, without raising an error to the caller.

    The code in the context sees a `KeyboardInterrupt` and can clean up; further signals do not
    interrupt its clean-up. This works even if a shell started this process with Ctrl-C ignored.
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
    """Return the processes on this machine whose environment satisfies a condition.

    This process, and processes whose environment we may not read, are left out.

    Args:
        wanted: The condition on a process's environment variables.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and wanted(process.environ()):
                found.append(process)
    return found


def end_all(wanted: Callable[[Mapping[str, str]], bool], grace: float = GRACE_SECONDS) -> None:
    """End all processes whose environment satisfies a condition.

    They are asked to end, and killed if they have not ended after a while. Killing repeats until
    no such process is left, because a process may start another one while it is being killed.

    Args:
        wanted: The condition on a process's environment variables.
        grace: Seconds that the processes have to end before they are killed.
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
    """Return whether a server at an address answers a request without an error status."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of a server
            return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def is_open(url: str) -> bool:
    """Return whether any program accepts connections at an address."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5):
            return True
    except OSError:
        return False


def choose_port(host: str, asked: int | None, usual: int, option: str) -> int:
    """Return the port for a server to listen on.

    It is the port that the user requested. If none was requested, it is the usual port, or any free
    port if the usual one is taken.

    Args:
        host: Address to listen on.
        asked: The requested port; None if none was requested.
        usual: The usual port.
        option: The option that requests a port, for the error message.

    Raises:
        ServerError: The requested port is taken, or no server can listen on the host.
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
    """Return the URL at which this machine reaches a server that listens on a host and port."""
    called = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{called}:{port}"


def last_words(log: Path, size: int = 4096) -> str:
    """Return the last non-blank line of a log, shortened to 200 characters.

    It is empty if the log cannot be read or its last `size` bytes are blank.
    """
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
    # Without this option, a port that was released a moment ago would count as taken.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
