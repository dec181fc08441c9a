"""Kill a process just before it commits to a database or writes a file."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import sqlalchemy

_WRITES = os.O_WRONLY | os.O_RDWR
_CHANGES = {"INSERT", "UPDATE", "DELETE"}
_FILE_EVENTS = ("os.rename", "os.mkdir", "os.remove", "os.truncate")


def run_until(
    number: int, work: Callable[[], Any], kinds: tuple[str, ...] = ("commit", "file")
) -> tuple[int | None, int]:
    """Run `work` in a forked process that kills itself at a boundary.

    A boundary is the moment before SQLAlchemy commits a change, or before a file or folder is
    written, created, renamed or removed.

    Args:
        number: Number of the boundary, counted from 0.
        work: The function to run.
        kinds: Which boundaries count: `commit`, `file`, or both.

    Returns:
        The exit code, which is -SIGKILL if the boundary was reached, and the number of boundaries.
    """
    context = multiprocessing.get_context("fork")
    seen: Synchronized[int] = context.Value("i", 0)
    child = context.Process(target=_work, args=(number, work, kinds, seen))
    child.start()
    child.join(120)
    assert child.exitcode is not None, "the process hangs"
    return child.exitcode, seen.value


def _work(number: int, work: Callable[[], Any], kinds: tuple[str, ...], seen: Any) -> None:
    def pass_boundary(kind: str) -> None:
        if kind in kinds:
            if seen.value == number:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.value += 1

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if is_write or event in _FILE_EVENTS:
            pass_boundary("file")

    changed: set[str] = set()

    def execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip()[:6].upper() in _CHANGES:
            changed.add(statement)

    def commit(_connection: Any) -> None:
        if changed:
            pass_boundary("commit")
        changed.clear()

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", execute)
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", commit)
    sys.addaudithook(hear)
    work()
    os._exit(0)
