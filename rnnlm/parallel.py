"""Run many independent tasks on one executor, serially by default.

An executor is any object with the interface of `concurrent.futures.Executor`: `ProcessPool` here,
or a Dask client's `get_executor()`. A task's result must not depend on where it ran.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from rnnlm.errors import RnnlmError

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

AHEAD = 256
"""Largest number of tasks that are submitted and not finished. It keeps this many workers busy
without consuming all tasks at once."""
MOST_LOSSES = 3
"""Number of times in a row that workers may be killed, with no task finished in between, before an
error is raised."""
_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_all(
    executor: Executor | None, work: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[tuple[int, R]]:
    """Return an iterator over (number, result) of every task, in the order in which tasks end.

    The first task that fails raises its error and cancels tasks that have not started; stopping the
    iteration early cancels them too. Tasks are consumed lazily. Tasks whose worker was killed run
    again.

    Raises:
        RnnlmError: Workers are killed repeatedly.
    """
    if executor is None:
        return enumerate(map(work, tasks))
    return _run_on(executor, work, tasks)


def _run_on(
    executor: Executor, work: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[tuple[int, R]]:
    numbered = enumerate(tasks)
    pending: dict[Future[R], tuple[int, T]] = {}
    losses = 0
    try:
        while True:
            for number, task in islice(numbered, AHEAD - len(pending)):
                pending[executor.submit(work, task)] = number, task
            if not pending:
                return
            ended, _ = wait(pending, return_when=FIRST_COMPLETED)
            if any(_is_lost(future) for future in ended):
                ended, _ = wait(pending)  # when a worker dies, the pool fails every pending task
            lost = [pending.pop(future) for future in ended if _is_lost(future)]
            for future in ended & pending.keys():
                losses = 0
                yield pending.pop(future)[0], future.result()
            if lost:
                losses += 1
                if losses > MOST_LOSSES:
                    raise RnnlmError(
                        f"worker processes were killed {losses} times in a row, possibly out of "
                        "memory; use fewer workers and run the same command again to resume"
                    )
                pending |= {executor.submit(work, task): (n, task) for n, task in sorted(lost)}
    finally:
        for future in pending:
            future.cancel()


def _is_lost(future: "Future[Any]") -> bool:
    return isinstance(future.exception(), BrokenExecutor)


class ProcessPool(Executor):
    """Single-threaded worker processes on this machine; if one is killed, all are replaced.

    Work and results go through pipes; nothing listens on a port. Workers exit with this process,
    however it ends.
    """

    def __init__(self, workers: int) -> None:
        """Create a pool; its processes start with the first task."""
        self._workers = workers
        self._pool, self._lifeline = self._make()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit work; if a worker was killed, start new workers first."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self.shutdown()
            self._pool, self._lifeline = self._make()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down after pending work finishes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            self._lifeline.close()

    def __exit__(self, kind: object, *_: object) -> None:
        """Shut down; after an error, kill the workers at once."""
        if kind is not None:
            self._lifeline.close()
        self.shutdown(cancel_futures=kind is not None)

    def _make(self) -> tuple[ProcessPoolExecutor, Connection]:
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        theirs, ours = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            self._workers, mp_context=context, initializer=_begin, initargs=(theirs,)
        )
        return pool, ours


def _begin(lifeline: Connection) -> None:
    """Set up a worker: use one thread, ignore Ctrl-C, exit when the pipe's other end closes."""
    os.environ.update(dict.fromkeys(_SINGLE_THREADED, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
