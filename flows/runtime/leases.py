"""Leases: how machines that share a home know which flow runs are alive.

The process of a flow run holds a file lock until it ends, however it ends. The operating system
releases the lock of a process that was killed; an NFS server releases those of a machine that no
longer answers.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout

from flows.runtime import locks
from flows.runtime.home import Home

STARTED_BY_WORKER = "PREFECT__FLOW_RUN_ID"
"""Variable that Prefect's worker sets in the process of a flow run."""
_held: list[FileLock] = []


def hold(home: Home, run_id: UUID) -> None:
    """Hold the lease of a flow run until this process ends, if a worker has started it."""
    if os.environ.get(STARTED_BY_WORKER) != str(run_id):
        return
    lock = FileLock(_path(home, run_id))
    lock.acquire()
    _held.append(lock)


def is_lost(home: Home, run_id: UUID) -> bool | None:
    """Return whether the process of a flow run has ended; None if it never had a lease."""
    path = _path(home, run_id)
    if not path.exists():
        return None
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False


def forget(home: Home, under_way: set[UUID]) -> None:
    """Remove the leases of all flow runs but those under way."""
    kept = {_path(home, run_id) for run_id in under_way}
    for path in locks.runs(home).glob("*.lock"):
        if path not in kept:
            path.unlink(missing_ok=True)


@contextmanager
def searching(home: Home) -> Iterator[bool]:
    """Yield whether this process alone looks for lost flow runs; False if another one does."""
    locks.runs(home).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks.lost_runs(home), timeout=0):
            yield True
    except Timeout:
        yield False


def _path(home: Home, run_id: UUID) -> Path:
    return locks.runs(home) / f"{run_id}.lock"
