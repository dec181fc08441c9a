"""Many independent pieces of work through one executor, serial by default.

An executor is anything shaped as `concurrent.futures.Executor`: a process pool, or a Dask client's
`get_executor()`. What a task returns must not depend on who ran it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_all(
    executor: Executor | None, work: Callable[[T], R], tasks: Sequence[T]
) -> Iterator[tuple[int, R]]:
    """Yield (number, result) of every task as it ends, in any order.

    The first task that fails ends the iteration with its error; tasks that have not begun are
    cancelled then, and also where the caller stops iterating.
    """
    if executor is None:
        yield from ((number, work(task)) for number, task in enumerate(tasks))
        return
    numbers = {executor.submit(work, task): number for number, task in enumerate(tasks)}
    try:
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    finally:
        for future in numbers:
            future.cancel()
