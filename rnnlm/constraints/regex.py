"""Compile regular expressions in a process of their own, with limits on time, memory and states."""

import json
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.errors import ConstraintError

CPU_SECONDS = 20
"""Most processor time to compile one grammar."""
MEMORY_BYTES = 1 << 30
"""Most memory to compile one grammar."""
LONGEST_PATTERN = 100_000
"""Most characters of a grammar."""

_CHILD = Path(__file__).with_name("regex_child.py")
_WALL_SECONDS = 10 * CPU_SECONDS  # the machine may be busy
_BYTES = 256
_LIMITS = f"{CPU_SECONDS} s of processor time and {MEMORY_BYTES >> 30} GiB of memory"
_KILLED: dict[int, str] = {
    signal.SIGKILL: "took too long",
    signal.SIGXCPU: "took too long",
    signal.SIGABRT: "needed too much memory",
    signal.SIGSEGV: "was nested too deeply",
}


class RefusedError(Exception):
    """An expression that the library rejects; the message is the library's reason."""


class Table(NamedTuple):
    """An automaton over bytes. Its initial state is 0.

    Attributes:
        successors: The state that follows after each byte, -1 if none does; int32, shape
            (states, 256).
        final: The states in which a match is complete.
    """

    successors: NDArray[np.int32]
    final: tuple[int, ...]


@lru_cache(maxsize=8)
def compile_last(expressions: tuple[str, ...]) -> Table | None:
    """Check some expressions, and return the automaton of the last one; None if it matches nothing.

    Args:
        expressions: Regular expressions in the dialect of Rust's `regex`.

    Raises:
        ConstraintError: Compiling took more time or memory than the limits above.
        RefusedError: The library rejects an expression.
    """
    if max(map(len, expressions)) > LONGEST_PATTERN:
        raise ConstraintError(
            f"the grammar has {len(expressions[0]):,} characters (expected at most "
            f"{LONGEST_PATTERN:,}); shorten it"
        )
    asked = {
        "expressions": expressions,
        "cpu_seconds": CPU_SECONDS,
        "memory_bytes": MEMORY_BYTES,
    }
    try:
        child = subprocess.run(
            [sys.executable, "-P", str(_CHILD)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_large("took too long") from error
    if child.returncode:
        raise _failed(child.returncode, child.stderr.decode("utf-8", "replace"))
    head, _, body = child.stdout.partition(b"\n")
    found = json.loads(head)
    if "refused" in found:
        raise RefusedError(found["refused"])
    if not found["states"]:
        return None
    table = np.frombuffer(body, dtype=np.int32).reshape(found["states"], _BYTES)
    return Table(table, tuple(found["final"]))


def _failed(status: int, said: str) -> ConstraintError:
    """Return the error for a child process that ended without a result."""
    last = (said.strip().splitlines() or [""])[-1]
    if status < 0 or "MemoryError" in last:
        return _too_large(_KILLED.get(-status, "needed too much memory"))
    return ConstraintError(f"the grammar cannot be compiled: {last or status}; simplify it")


def _too_large(how: str) -> ConstraintError:
    return ConstraintError(
        f"compiling the grammar {how} (expected at most {_LIMITS}); use smaller repetitions, or "
        "narrower classes than \\w and ."
    )
