from concurrent.futures import ThreadPoolExecutor

import pytest

from rnnlm.parallel import run_all


def double(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return 2 * number


def test_every_task_comes_back_under_its_number():
    with ThreadPoolExecutor(4) as pool:
        for executor in (None, pool):
            assert dict(run_all(executor, double, [3, 1, 2])) == {0: 6, 1: 2, 2: 4}


def test_a_task_that_fails_ends_it_all():
    with ThreadPoolExecutor(1) as pool:
        for executor in (None, pool):
            with pytest.raises(ValueError, match="negative"):
                [*run_all(executor, double, [1, -1, 2])]
