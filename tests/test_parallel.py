import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from rnnlm.errors import RnnlmError
from rnnlm.parallel import ProcessPool, run_all


def double(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return 2 * number


def test_every_result_is_returned_with_its_number():
    with ThreadPoolExecutor(4) as pool:
        for executor in (None, pool):
            assert dict(run_all(executor, double, [3, 1, 2])) == {0: 6, 1: 2, 2: 4}


def test_a_failing_task_ends_the_whole_run():
    with ThreadPoolExecutor(1) as pool:
        for executor in (None, pool):
            with pytest.raises(ValueError, match="negative"):
                [*run_all(executor, double, [1, -1, 2])]


def die_once(path: str) -> str:
    """Kill this process on the first call with a path; return its name on later calls."""
    marker = Path(path)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_of_a_killed_process_is_done_by_another(tmp_path: Path):
    paths = [str(tmp_path / str(number)) for number in range(6)]
    for number in (0, 1, 2, 4):
        Path(paths[number]).touch()  # tasks 3 and 5 kill their process
    with ProcessPool(2) as pool:
        assert dict(run_all(pool, die_once, paths)) == {n: str(n) for n in range(6)}


def test_work_that_kills_every_process_is_a_one_line_error():
    with (
        ProcessPool(2) as pool,
        pytest.raises(RnnlmError, match="worker processes were killed 4 times in a row"),
    ):
        [*run_all(pool, die, [1, 2, 3])]


def test_a_process_has_one_thread_and_ends_at_once_after_an_error():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ProcessPool(2) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        sleeping = pool.submit(time.sleep, 60)
        while not sleeping.running():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30
    assert sleeping.exception() is not None


SLEEPERS = """
import os, sys, time
from rnnlm.parallel import ProcessPool
if __name__ == "__main__":
    pool = ProcessPool(2)
    pids = [pool.submit(os.getpid).result()]
    pool.submit(time.sleep, 60)
    print(*pids, flush=True)
    time.sleep(60)
"""


def test_no_process_is_left_when_their_parent_is_killed(tmp_path: Path):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
