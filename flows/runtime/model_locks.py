"""Locks that keep housekeeping away from models that commands are working on.

A run through the chain reads the results of its earlier steps without locking them. So each run
holds the lock of its model, which it shares with other runs; what belongs to the model is removed
only by a process that holds the lock alone. The operating system releases the locks of a process
that is killed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.runtime import locks
from flows.runtime.home import Home


@contextmanager
def working_on(home: Home, name: str) -> Iterator[None]:
    """Share the lock of a model with other runs; wait while another process removes something.

    Args:
        home: Home that holds the model.
        name: Name of the model, which need not exist yet.
    """
    with _opened(home, name) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(home: Home, name: str) -> Iterator[bool]:
    """Hold the lock of a model alone, and yield True; yield False if a run is working on it."""
    with _opened(home, name) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_busy(home: Home, name: str) -> bool:
    """Return whether a run is working on a model."""
    if not locks.model(home, name).exists():
        return False
    with alone(home, name) as free:
        return not free


@contextmanager
def _opened(home: Home, name: str) -> Iterator[int]:
    path = locks.model(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which releases the lock
