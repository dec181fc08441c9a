"""The last output of a command: a JSON object, or an error message on one line."""

import json
import os
import sys
from typing import Any, NoReturn

from flows.runtime.addresses import without_passwords
from rnnlm.visible import visible

FULL_DISK_BYTES = 1_000_000  # a disk with fewer free bytes counts as full


def store_failure(store: str, error: Exception) -> str:
    """Return a message that says why Prefect or MLflow could not write to its database.

    If the disk is full, the message says so. Otherwise it is the first line of the error.

    Args:
        store: Name of the tool.
        error: The error that the tool raised.
    """
    import shutil  # noqa: PLC0415

    from flows.runtime import home  # noqa: PLC0415

    root = home.current().root
    free = shutil.disk_usage(root).free
    if free < FULL_DISK_BYTES:
        return (
            f"the disk of {root.resolve()} is full ({free:,} bytes left); finished steps are kept: "
            "free some space, then run the same command again"
        )
    return f"{store}: {str(error).strip().splitlines()[0]}"


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
    sys.stderr.write(f"{label} {one_line}\n")
    sys.stderr.flush()
    sys.exit(status)
