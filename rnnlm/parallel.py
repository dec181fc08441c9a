"""Many independent pieces of work through one executor, serial by default.

An executor is anything shaped as `concurrent.futures.Executor`: a process pool, or a Dask client's
`get_executor()`. What a task returns must not depend on who ran it.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 256
"""Tasks that are handed out at a time: enough for as many workers, and no list of them all."""


def run_all(
    executor: Executor | None, work: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[tuple[int, R]]:
    """Yield (number, result) of every task as it ends, in any order.

    The first task that fails ends the iteration with its error; tasks that have not begun are
    cancelled then, and also where the caller stops iterating. Tasks are taken as they are needed.
    """
    if executor is None:
        yield from ((number, work(task)) for number, task in enumerate(tasks))
        return
    numbered = enumerate(tasks)
    numbers: dict[Future[R], int] = {}
    try:
        while True:
            for number, task in islice(numbered, AHEAD - len(numbers)):
                numbers[executor.submit(work, task)] = number
            if not numbers:
                return
            ended, _ = wait(numbers, return_when=FIRST_COMPLETED)
            for future in ended:
                yield numbers.pop(future), future.result()
    finally:
        for future in numbers:
            future.cancel()
