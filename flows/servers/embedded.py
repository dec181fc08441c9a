"""An embedded Prefect server, which runs as long as the command that starts it.

If `PREFECT_API_URL` names a server, that server is used and none is started. Call `serve` before
importing Prefect and torch: they read their settings from the environment only once.
"""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from flows.runtime import credentials, locks, sqlite_files
from flows.runtime.addresses import reason, redact
from flows.runtime.home import Home, make_private
from rnnlm.errors import ServerError

STARTUP_SECONDS = 120.0
FULL_DISK_BYTES = 1_000_000  # a disk with fewer free bytes counts as full
MOST_RESTARTS = 3
"""Number of times that a command restarts its server before it gives up."""
Tell = Callable[[str], None]
# A server that runs for one command schedules nothing, so these background services of Prefect
# would only cost time.
_IDLE_SERVICES = (
    "SCHEDULER",
    "LATE_RUNS",
    "CANCELLATION_CLEANUP",
    "PAUSE_EXPIRATIONS",
    "FOREMAN",
    "REPOSSESSOR",
    "TRIGGERS",
)
# -P keeps the user's folder off Python's path: a package `flows` there, or a module with the name
# of one of Python's own, must not be imported instead.
_SERVER = [sys.executable, "-P", "-m", "flows.servers.prefect_server"]
_lost: list["PrefectServer"] = []
_CLIENTS_SECRET = "PREFECT_API_AUTH_STRING"  # noqa: S105 - the name of a variable


def configure(home: Home) -> None:
    """Set environment variables that configure Prefect, MLflow and OpenMP.

    They set Prefect's folder, the password and the verbosity of logs, and switch telemetry off.
    Variables that are set already are not changed. OpenMP's threads are set to wait without
    spinning: while a server uses the second core, spinning threads make training several times
    slower (docs/experiments.md, 2026-11-22).

    Raises:
        ConfigError: The password cannot be used.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("PREFECT_HOME", str(home.prefect.resolve()))
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_CLI_COLORS", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # DO_NOT_TRACK is not enough
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # keeps --json clean
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    credentials.hand_to_clients()


@contextlib.contextmanager
def serve(home: Home, tell: Tell | None = None) -> Iterator["PrefectServer | None"]:
    """Provide a Prefect API within this context, and yield the embedded server if one is started.

    If `PREFECT_API_URL` is set, that server is used, and None is yielded. Otherwise an embedded
    server is started. The context does not wait until it answers, so that the caller can import
    modules meanwhile; call the server's `wait` before the first flow run.

    Args:
        home: Home that holds Prefect's database.
        tell: Called with a line of text when the embedded server has to be started again.

    Raises:
        ServerError: The configured server does not answer, or it rejects our password; or the
            embedded server was lost while the code in the context ran.
    """
    configure(home)
    if address := os.environ.get("PREFECT_API_URL"):
        _check(address)
        yield None
        return
    server = PrefectServer(home, tell)
    before = os.environ.get(_CLIENTS_SECRET)
    os.environ.update({"PREFECT_API_URL": server.url, _CLIENTS_SECRET: server.credentials})
    try:
        yield server
    except Exception as error:
        if server.lost:
            raise ServerError(server.lost) from error
        raise
    finally:
        if server.lost:
            _lost.append(server)
        else:
            _send_what_is_left()
        server.stop()
        del os.environ["PREFECT_API_URL"], os.environ[_CLIENTS_SECRET]
        if before is not None:
            os.environ[_CLIENTS_SECRET] = before


@contextlib.contextmanager
def leaving_at_once_if_lost() -> Iterator[None]:
    """On `SystemExit`, end the process at once if its Prefect server was lost.

    Prefect's threads would try for minutes to send their last events before they let Python exit.
    """
    try:
        yield
    except SystemExit as ending:
        if _lost:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ending.code if isinstance(ending.code, int) else 1)
        raise


def _check(address: str) -> None:
    """Check that the Prefect server at an address answers and accepts our password.

    Raises:
        ServerError: The server does not answer, or it rejects our password.
    """
    import httpx  # noqa: PLC0415 - takes a tenth of a second

    secret = os.environ.get(_CLIENTS_SECRET)
    sign_in = httpx.BasicAuth(*secret.split(":", 1)) if secret and ":" in secret else None
    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=10).raise_for_status()
        asked = httpx.get(f"{address.rstrip('/')}/admin/version", timeout=10, auth=sign_in)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"no Prefect server answers at PREFECT_API_URL={redact(address)} "
            f"({reason(error)}); start one with "
            "`rnnlm serve`, or unset it to use the embedded one"
        ) from error
    if asked.status_code == httpx.codes.UNAUTHORIZED and "PREFECT_API_KEY" not in os.environ:
        raise ServerError(f"PREFECT_API_URL={redact(address)} {credentials.refusal()}")


class PrefectServer:
    """A Prefect server in a separate process, which ends when this process ends.

    If the server ends early, because it was killed or ran out of memory, it is restarted on the
    same socket. This process keeps the socket open meanwhile, so new requests wait for the new
    server, and Prefect's client repeats the requests that were under way.

    Attributes:
        url: Address of the server's API.
        credentials: The `user:password` that the server requires. The password is random, so that
            only this process and those that inherit its environment can call the server.
        lost: Why the server could not be started again; empty otherwise.
    """

    def __init__(self, home: Home, tell: Tell | None = None) -> None:
        """Start the process on a free port of the loopback interface.

        Args:
            home: Home that holds Prefect's database.
            tell: Called with a line of text when the server has to be started again.

        Raises:
            StorageError: Prefect's database is damaged.
        """
        self._log = home.prefect / "server.log"
        self._tell = tell or (lambda _: None)
        self.credentials = f"{credentials.USER}:{secrets.token_urlsafe(32)}"
        self.lost = ""
        make_private(home.prefect)
        sqlite_files.check(home.prefect / "prefect.db")
        self._lock = locks.prefect_start(home)
        self._starting = FileLock(self._lock)
        self._starting.acquire()  # two servers must not create the tables at once
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        self._changing = threading.Lock()  # held while the process is started or stopped
        self._is_stopped = False
        self._restarts = 0
        self._process = self._launch()

    def wait(self) -> None:
        """Wait until the server answers; from then on, restart it whenever it ends.

        Raises:
            ServerError: The server ended, or did not answer within `STARTUP_SECONDS`.
        """
        try:
            self._wait_for_answer()
        finally:
            self._starting.release()
        threading.Thread(target=self._keep_running, daemon=True).start()

    def stop(self) -> None:
        """End the server's process and wait until it has ended."""
        self._starting.release()
        with self._changing:
            self._is_stopped = True
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._listener.close()

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*_SERVER, "--fd", str(self._listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_server_environment(self.credentials),
                pass_fds=[self._listener.fileno()],
                start_new_session=True,  # Ctrl-C reaches only the command; the server ends last
            )

    def _wait_for_answer(self) -> None:
        """Wait until the server answers; if it is killed before that, restart it.

        Raises:
            ServerError: The server ended, or did not answer within `STARTUP_SECONDS`.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline and not self._is_stopped:
            status = self._process.poll()
            if status is None and self._answers():
                return
            if status is not None and (status >= 0 or not self._relaunch()):
                break
            time.sleep(0.05)
        raise ServerError(
            f"Prefect's embedded server did not start: {self._last_words()} (see {self._log}); "
            "try again, or set PREFECT_API_URL to a running server"
        )

    def _keep_running(self) -> None:
        """Restart the server whenever it ends, until `stop` is called or a start fails."""
        while True:
            self._process.wait()
            if self._is_stopped:
                return
            try:
                with FileLock(self._lock):
                    if not self._relaunch():
                        break
                    self._wait_for_answer()
            except ServerError as error:
                self.lost = str(error)
                break
            except OSError as error:  # the disk is full, for example
                self.lost = f"Prefect's embedded server ended and cannot be started again: {error}"
                break
        if not self._is_stopped:
            self.lost = self.lost or (
                f"Prefect's embedded server ended {self._restarts + 1} times "
                f"({_ending(self._process)}, see {self._log}); finished steps are kept: run the "
                "same command again"
            )
            self._listener.close()  # requests fail from now on instead of waiting

    def _relaunch(self) -> bool:
        """Restart the server; return False if it was stopped or has ended too often."""
        with self._changing:
            if self._is_stopped or self._restarts == MOST_RESTARTS:
                return False
            self._restarts += 1
            self._tell(f"Prefect's server ended ({_ending(self._process)}); restarting it")
            if self._process.stdin:
                self._process.stdin.close()
            self._process = self._launch()
        return True

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:  # noqa: S310
                return bool(response.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def _last_words(self) -> str:
        """Return why the server does not answer, according to its exit status and its log."""
        if shutil.disk_usage(self._log.parent).free < FULL_DISK_BYTES:
            return "the disk is full"
        status = self._process.poll()
        if status is not None and status < 0:
            return _ending(self._process)
        lines = [line for line in _read_tail(self._log).splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"no answer in {STARTUP_SECONDS:.0f} s"


def _ending(process: "subprocess.Popen[bytes]") -> str:
    """Return in a few words how a process ended."""
    status = process.poll() or 0
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def _send_what_is_left() -> None:
    """Wait until Prefect's threads have sent their logs and events to the server."""
    if "prefect.logging.handlers" in sys.modules:
        from prefect.events.worker import EventsWorker  # noqa: PLC0415 - only if Prefect was used
        from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)


def _server_environment(secret: str) -> dict[str, str]:
    services = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _IDLE_SERVICES}
    here = str(Path(__file__).parent.parent.parent)
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **services,
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # seconds in a new home, for its pages
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PYTHONPATH": paths,
    }


def _read_tail(path: Path, size: int = 4096) -> str:
    try:
        return path.read_bytes()[-size:].decode("utf-8", "replace")
    except OSError:
        return ""
