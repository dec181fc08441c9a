"""Check what surrounds the data: format, permissions, free space, locks, leftovers."""

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from flows.cleanup import step_folders
from flows.health.findings import Finding, problem
from flows.runtime import locks
from flows.runtime.home import FORMAT, FORMAT_FILE, Home
from rnnlm.storage import is_temporary, write_json

FEWEST_FREE_BYTES = 1_000_000_000
UNFINISHED_SECONDS = 3600.0
"""A temporary file older than this belongs to no running write."""


def home_format(home: Home) -> Finding:
    """Check the file that states the format of the home."""
    path = home.data / FORMAT_FILE
    if not path.is_file():
        return Finding("format", "not stated: the home is new, or of the first version")
    try:
        found = json.loads(path.read_text("utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        return problem("format", f"{path} states no valid format", partial(_state_format, path))
    if found > FORMAT:
        return problem("format", f"{found}, written by a later version; update rnnlm")
    return Finding("format", f"{found}")


def free_space(home: Home) -> Finding:
    """Check that the disk has space left."""
    usage = shutil.disk_usage(home.root)
    said = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB"
    if usage.free < FEWEST_FREE_BYTES:
        return problem("free space", f"{said}; `rnnlm housekeeping` lists what can be removed")
    return Finding("free space", said)


def permissions(home: Home) -> Iterator[Finding]:
    """Check that this user can write everywhere, and that only this user can read databases."""
    faults = 0
    folders = [home.root, *(top for top in (home.data, home.mlruns) if top.is_dir())]
    for folder in [*folders, *(path for top in folders[1:] for path in top.glob("*/"))]:
        if not os.access(folder, os.W_OK | os.X_OK):
            faults += 1
            yield problem("permissions", f"{folder} is not writable; chown or chmod it")
    for path in _private(home):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            faults += 1
            said = f"{path.relative_to(home.root)} is open to other users"
            yield problem("permissions", said, partial(_make_private, path))
    if not faults:
        yield Finding("permissions", "writable; databases are private")


def held_locks(home: Home) -> Finding:
    """List the locks that processes hold; a lock ends with the process that holds it."""
    paths = [
        locks.registering(home),
        locks.aliases(home),
        locks.mlflow_tables(home.mlruns),
        locks.prefect_start(home),
        locks.serving(home),
    ]
    paths += [path for names in step_folders.name_folders(home) for path in names.glob(".*.lock")]
    held = [str(path.relative_to(home.root)) for path in paths if step_folders.is_held(path)]
    return Finding("locks", f"held by running commands: {', '.join(held)}" if held else "none held")


def leftovers(home: Home) -> Finding:
    """Look for temporary files that interrupted writes left."""
    now = time.time()
    found = [
        path
        for top in (home.data, home.mlruns)
        for path in top.rglob(".*.tmp")
        if is_temporary(path) and now - path.stat().st_mtime > UNFINISHED_SECONDS
    ]
    if not found:
        return Finding("leftovers", "no unfinished writes")
    size = sum(path.stat().st_size for path in found)
    said = f"{len(found)} unfinished writes, {size / 1e6:.1f} MB"
    return problem("leftovers", said, partial(_remove, found))


def _state_format(path: Path) -> str:
    write_json(path, {"format": FORMAT})
    return f"set to {FORMAT}"


def _private(home: Home) -> list[Path]:
    folders = [folder for folder in (home.mlruns, home.prefect) if folder.is_dir()]
    return folders + [file for folder in folders for file in folder.glob("*.db*") if file.is_file()]


def _make_private(path: Path) -> str:
    path.chmod(0o700 if path.is_dir() else 0o600)
    return "now private"


def _remove(paths: list[Path]) -> str:
    for path in paths:
        path.unlink(missing_ok=True)
    return "removed"
