import multiprocessing
import os
import signal
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from flows.runtime import leases, locks
from flows.runtime.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def hold_and_wait(home: Home, run: UUID, ready: "multiprocessing.synchronize.Event") -> None:
    os.environ[leases.STARTED_BY_WORKER] = str(run)
    leases.hold(home, run)
    ready.set()
    signal.pause()


def test_a_lease_lasts_as_long_as_the_process_that_holds_it(home: Home):
    run, context = uuid4(), multiprocessing.get_context("fork")
    ready = context.Event()
    assert leases.is_lost(home, run) is None
    process = context.Process(target=hold_and_wait, args=(home, run, ready))
    process.start()
    assert ready.wait(30)
    assert leases.is_lost(home, run) is False
    process.kill()
    process.join()
    assert leases.is_lost(home, run) is True


def test_a_run_that_no_worker_started_has_no_lease(home: Home):
    run = uuid4()
    leases.hold(home, run)
    assert leases.is_lost(home, run) is None
    assert not locks.runs(home).exists()


def test_leases_of_ended_runs_are_removed(home: Home):
    ended, under_way = uuid4(), uuid4()
    locks.runs(home).mkdir(parents=True)
    for run in (ended, under_way):
        (locks.runs(home) / f"{run}.lock").touch()
    leases.forget(home, {under_way})
    assert leases.is_lost(home, ended) is None
    assert leases.is_lost(home, under_way) is True


def test_only_one_process_looks_for_lost_runs(home: Home):
    with leases.searching(home) as first, leases.searching(home) as second:
        assert (first, second) == (True, False)
    with leases.searching(home) as again:
        assert again
