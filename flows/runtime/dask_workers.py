"""Workers of a Dask cluster as an executor that explains in one line what goes wrong.

Each worker is checked before it works; see `rnnlm.remote`. Dask itself gives the shards of a lost
worker to another one.
"""

import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from flows.runtime.addresses import redact
from rnnlm import remote
from rnnlm.config import shorten
from rnnlm.errors import ConfigError, WorkerError

R = TypeVar("R")
P = ParamSpec("P")

SCHEDULER = "RNNLM_SCHEDULER"
PATIENCE = "RNNLM_SCHEDULER_PATIENCE"
"""Variable with the number of seconds to wait while a cluster has no workers; without it, for
ever."""
CONNECT_SECONDS = 10
SAY_SECONDS = 30.0
"""How often a line says that a cluster has no workers."""
LOOK_SECONDS = 1.0


@contextmanager
def cluster(address: str, folder: Path) -> Iterator[Executor]:
    """Yield an executor for a Dask cluster that has at least one worker.

    Args:
        address: Address of the scheduler.
        folder: Folder that all workers must have.

    Raises:
        ConfigError: Dask is not installed, no scheduler answers at the address, or the patience is
            not a number.
        WorkerError: The cluster got no workers in time, or a worker differs from this process.
    """
    patience = _patience()
    try:
        from distributed import Client  # noqa: PLC0415 - heavy, and an extra
        from distributed.versions import VersionMismatchWarning  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"{SCHEDULER} needs Dask, which is not installed; run `pip install distributed`, or "
            f"unset {SCHEDULER}"
        ) from error

    warnings.simplefilter("ignore", VersionMismatchWarning)  # a table; our check is one line
    for noisy in ("distributed", "distributed.client"):  # its errors are raised, too
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        todo = "start one with `dask scheduler`"
        if "ssl_context" in str(error):
            todo = "set the certificates, DASK_DISTRIBUTED__COMM__TLS__… (SECURITY.md)"
        raise ConfigError(
            f"{redact(address)}: no Dask scheduler answers there ({error}); {todo}, or leave out "
            f"--scheduler and {SCHEDULER}"
        ) from error
    with client:
        waiting = _Waiting(redact(address), patience)
        while not _has_workers(client):
            waiting.look()
            time.sleep(LOOK_SECONDS)
        executor = _DaskExecutor(client, remote.Terms.here(folder), redact(address))
        executor.check_workers()
        with executor.watching(waiting):
            yield executor


class _Waiting:
    """Says that a cluster has no workers, and gives up after a while."""

    def __init__(self, address: str, patience: float) -> None:
        self._address, self._patience = address, patience
        self.start_over()

    def start_over(self) -> None:
        self._began = self._said = time.monotonic()

    def look(self) -> None:
        """Say that there are no workers, if it is time to.

        Raises:
            WorkerError: There have been no workers for too long.
        """
        now = time.monotonic()
        start = f"start one with `dask worker {self._address}`"
        if now - self._began >= self._patience:
            raise WorkerError(
                f"{self._address} has had no workers for {now - self._began:.0f} s ({PATIENCE}); "
                f"{start}, and run the same command again"
            )
        if now - self._said >= SAY_SECONDS:
            self._said = now
            logging.getLogger(__name__).warning("%s has no workers; %s", self._address, start)


class _DaskFuture(Future[Any]):
    """The result of a Dask future, with errors explained."""

    def __init__(self, inner: "Future[Any]") -> None:
        super().__init__()
        self._inner = inner

    def cancel(self) -> bool:
        self._inner.cancel()
        return super().cancel()


class _DaskExecutor(Executor):
    def __init__(self, client: Any, terms: remote.Terms, address: str) -> None:
        self._client, self._terms, self._address = client, terms, address
        self._dask = client.get_executor(pure=False)
        self._pending: set[_DaskFuture] = set()
        self._settling = threading.Lock()

    def check_workers(self) -> None:
        """Compare all workers with this process.

        Raises:
            WorkerError: One differs.
        """
        try:
            self._client.run(remote.work, self._terms, int)
        except Exception as error:
            raise self._explained(error) from error

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Submit work; its future raises explained errors."""
        work = partial(fn, **kwargs) if kwargs else fn
        try:
            inner = self._dask.submit(remote.work, self._terms, work, *args)
        except Exception as error:
            raise self._explained(error) from error
        outer = _DaskFuture(inner)
        with self._settling:
            self._pending.add(outer)
        inner.add_done_callback(partial(self._settle, outer))
        return outer

    @contextmanager
    def watching(self, waiting: _Waiting) -> Iterator[None]:
        """Within this context, say when the cluster has lost all workers; then fail all work."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_SECONDS):
                if not self._pending or _has_workers(self._client):
                    waiting.start_over()
                    continue
                try:
                    waiting.look()
                except WorkerError as error:
                    for future in [*self._pending]:
                        self._finish(future, error, None)
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def _settle(self, outer: _DaskFuture, inner: "Future[Any]") -> None:
        try:
            error = inner.exception()
        except CancelledError as cancelled:
            error = cancelled
        explained = self._explained(error) if error else None
        self._finish(outer, explained, None if error else inner.result())

    def _finish(self, outer: _DaskFuture, error: BaseException | None, result: Any) -> None:
        with self._settling:
            if outer not in self._pending:
                return
            self._pending.discard(outer)
        if outer.cancelled():
            return
        if error:
            outer.set_exception(error)
        else:
            outer.set_result(result)

    def _explained(self, error: BaseException) -> BaseException:
        """Return an error that says what to do, or the same one if it is not about the cluster."""
        from distributed import KilledWorker  # noqa: PLC0415 - heavy
        from distributed.comm.core import CommClosedError  # noqa: PLC0415

        again = "run the same command again to resume"
        if isinstance(error, KilledWorker):
            return WorkerError(
                f"Dask workers of {self._address} were killed repeatedly by the same shard, "
                f"possibly out of memory; give them more or use fewer per machine, and {again}"
            )
        if "ModuleNotFoundError" in repr(error):  # Dask may pass on only the text of an error
            missing = re.search(r"No module named '([^'.]+)", str(error))
            package = missing[1] if missing else "rnnlm"
            return WorkerError(
                f"a Dask worker of {self._address} lacks the package {package}; install this "
                f"version of rnnlm there, and {again}"
            )
        lost = (CancelledError, CommClosedError, ConnectionError, TimeoutError)
        if isinstance(error, lost) or self._client.status != "running":
            where = f"the Dask scheduler {self._address}"
            return WorkerError(f"{where} is lost; start it, and {again}")
        return error


def _has_workers(client: Any) -> bool:
    return bool(client.scheduler_info(n_workers=1)["workers"])


def _patience() -> float:
    text = os.environ.get(PATIENCE, "inf")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise ConfigError(f"{PATIENCE}={shorten(text)} (expected a number of seconds)")
    return seconds
