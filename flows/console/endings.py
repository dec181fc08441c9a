"""The last output of a command: a JSON object, or an error message on one line."""

import errno
import json
import os
import shutil
import sys
import textwrap
from typing import Any, NoReturn

from flows.runtime.addresses import without_passwords
from flows.runtime.credentials import refusal
from rnnlm.visible import visible

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make the file system writable, or set RNNLM_HOME or TMPDIR to another folder",
    errno.EACCES: "give yourself the permission, or set RNNLM_HOME or TMPDIR to another folder",
    errno.EPERM: "give yourself the permission, or set RNNLM_HOME or TMPDIR to another folder",
    errno.EIO: "check the disk; restore what it has damaged from a copy",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOMEM: "free some memory",
}
_LOCKED = "database is locked"
_DAMAGED = ("malformed", "not a database", "disk image")
FULL_DISK_BYTES = 1_000_000  # a disk with fewer free bytes counts as full


def store_failure(store: str, error: Exception) -> str:
    """Return a message that says why a store or a server failed, such as MLflow or Prefect.

    If the disk is full, or the database is locked or damaged, the message says so and what to do.
    Otherwise it is the first line of the error.

    Args:
        store: Name of the package that raised the error.
        error: The error.
    """
    from flows.runtime import home  # noqa: PLC0415

    root = home.current().root
    free = shutil.disk_usage(root).free
    if free < FULL_DISK_BYTES:
        return (
            f"the disk of {root.resolve()} is full ({free:,} bytes left); finished steps are kept: "
            "free some space, then run the same command again"
        )
    said = str(error).strip() or type(error).__name__
    if "error code 401" in said:
        return f"{store}: the server {refusal()}"
    if _LOCKED in said:
        return (
            f"{store}: another program has locked the database for too long; finished steps are "
            "kept: end that program, then run the same command again"
        )
    lines = said.splitlines()
    first = next((line for line in lines if line.startswith("(sqlite3.")), lines[0])
    if any(words in first for words in _DAMAGED):
        return f"{store}: {first}; `rnnlm doctor --repair` repairs or restores the database"
    return f"{store}: {first}"


def system_failure(error: OSError) -> str:
    """Return a message that says what the operating system refused, and what to do.

    Args:
        error: The error, such as that of a full disk or of a file that was removed.
    """
    names = [os.fspath(name) for name in (error.filename, error.filename2) if name is not None]
    what = " and ".join(str(name) for name in names if not isinstance(name, int))
    said = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0)
    return (
        f"{what + ': ' if what else ''}{said}; finished steps are kept: "
        f"{advice + ', then ' if advice else ''}run the same command again"
    )


def print_json(value: Any) -> None:
    """Print one JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fail(message: str, status: int, wants_json: bool) -> NoReturn:
    """Print an error on one line of standard error and end the process.

    Passwords in addresses are removed from the message.

    Args:
        message: The error message.
        status: Exit status.
        wants_json: Whether to also print the error as a JSON object on standard output.
    """
    one_line = visible(without_passwords(" ".join(message.split())))
    if wants_json:
        print_json({"error": one_line})
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    label = "\x1b[31merror:\x1b[0m" if color else "error:"
    if sys.stderr.isatty():  # folded between words, not within them
        room = shutil.get_terminal_size().columns - len("error: ")
        one_line = textwrap.fill(
            one_line, max(20, room), break_long_words=False, break_on_hyphens=False
        ).replace("\n", "\n       ")
    sys.stderr.write(f"{label} {one_line}\n")
    sys.stderr.flush()
    sys.exit(status)
