"""Many independent pieces of work through one executor, serial by default.

An executor is anything shaped as `concurrent.futures.Executor`: `ProcessPool` here, or a Dask
client's `get_executor()`. What a task returns must not depend on who ran it.
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
"""Tasks that are handed out at a time: enough for as many workers, and no list of them all."""
MOST_LOSSES = 3
"""Times in a row that workers may be lost before a single task was finished."""
_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_all(
    executor: Executor | None, work: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[tuple[int, R]]:
    """Yield (number, result) of every task as it ends, in any order.

    The first task that fails ends the iteration with its error; tasks that have not begun are
    cancelled then, and also where the caller stops iterating. Tasks are taken as they are needed.
    Tasks whose worker was killed run again.

    Raises:
        RnnlmError: Workers are killed again and again.
    """
    if executor is None:
        yield from ((number, work(task)) for number, task in enumerate(tasks))
        return
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
                ended, _ = wait(pending)  # with one worker, the pool gives up all that it has
            lost = [pending.pop(future) for future in ended if _is_lost(future)]
            for future in ended & pending.keys():
                losses = 0
                yield pending.pop(future)[0], future.result()
            if lost:
                losses += 1
                if losses > MOST_LOSSES:
                    raise RnnlmError(
                        f"worker processes were killed {losses} times in a row, perhaps for want "
                        "of memory; use fewer workers, then run the same command again to go on"
                    )
                pending |= {executor.submit(work, task): (n, task) for n, task in sorted(lost)}
    finally:
        for future in pending:
            future.cancel()


def _is_lost(future: "Future[Any]") -> bool:
    return isinstance(future.exception(), BrokenExecutor)


class ProcessPool(Executor):
    """Processes of this machine, one thread each, made again when one is killed.

    Work and results go through pipes; nothing listens on a port. They end with this process,
    however it ends.
    """

    def __init__(self, workers: int) -> None:
        """Make a pool; its processes start with the first work."""
        self._workers = workers
        self._pool, self._lifeline = self._make()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Hand out work; where a process was killed meanwhile, to a new pool."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self.shutdown()
            self._pool, self._lifeline = self._make()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once they have finished what they have."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            self._lifeline.close()

    def __exit__(self, kind: object, *_: object) -> None:
        """End the processes: after an error at once, whatever they are doing."""
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
    """Prepare a worker: one thread, deaf to Ctrl-C, ended when the other end of the pipe closes."""
    os.environ.update(dict.fromkeys(_SINGLE_THREADED, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
