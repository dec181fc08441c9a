"""Remove leftovers, each either completely or not at all.

A leftover that has come into use since it was listed is not removed.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from flows.chain.records import RECORD_FILE
from flows.cleanup import step_folders
from flows.cleanup.leftovers import GOING_SUFFIX, LOG_KEPT_BYTES, Found
from flows.cleanup.rules import Leftover
from flows.runtime import locks


def remove(found: Found, leftover: Leftover) -> bool:
    """Remove a leftover from the disk or from MLflow; return whether it was removed.

    It is not removed if it has come into use since it was listed, or if an alias now refers to it.
    """
    return _WAYS[leftover.kind](found, leftover)


def cut_log(path: Path, keep: int) -> None:
    """Shorten a log to its last `keep` bytes. A process may be appending to the log meanwhile."""
    with path.open("r+b") as file:
        file.seek(-min(keep, path.stat().st_size), os.SEEK_END)
        last = file.read()
        file.seek(0)
        file.truncate()
        file.write(last)


def _remove_version(found: Found, leftover: Leftover) -> bool:
    name, _, number = leftover.what.rpartition("/")
    registered = next(
        v for v in found.versions if (v.version.name, v.version.version) == (name, int(number))
    )
    if _is_busy(found, name) or not found.store.remove_version(name, int(number)):
        return False
    named = {v.model_id for v in found.store.versions()}
    if registered.model_id and registered.model_id not in named:
        found.store.remove_model(registered.model_id)
    return True


def _remove_model(found: Found, leftover: Leftover) -> bool:
    if _is_busy(found, leftover.name):
        return False
    found.store.remove_model(leftover.what)
    return True


def _remove_run(found: Found, leftover: Leftover) -> bool:
    if _is_busy(found, leftover.name):
        return False
    found.store.remove_run(leftover.what)
    return True


def _end_run(found: Found, leftover: Leftover) -> bool:
    if _is_busy(found, leftover.name):
        return False
    found.store.client.set_terminated(leftover.what, "KILLED")
    return True


def _remove_step(found: Found, leftover: Leftover) -> bool:
    """Rename a step's folder while holding its lock, then delete the folder.

    Once renamed, the folder is no longer a step, so the removal takes effect at once. If the record
    were removed first instead, a process killed in between would leave a folder of samples with a
    manifest but no record, which looks like a data set that the user has generated.
    """
    path = _path(leftover)
    lock = locks.step(path)
    if _is_busy(found, leftover.name):
        return False
    going = path.with_name(f".{path.name}{GOING_SUFFIX}")
    try:
        with FileLock(lock, timeout=0):
            if going.exists():
                _empty(going)
            path.rename(going)
            lock.unlink()  # a process that is waiting for the lock creates a new file
    except (Timeout, FileNotFoundError):
        return False
    _empty(going)
    return True


def _remove_half(found: Found, leftover: Leftover) -> bool:  # noqa: ARG001 - see `_WAYS`
    _empty(_path(leftover))
    return True


def _remove_lock(found: Found, leftover: Leftover) -> bool:  # noqa: ARG001 - see `_WAYS`
    path = _path(leftover)
    try:
        with FileLock(path, timeout=0):
            if path.with_name(path.name[1:-5]).exists():
                return False
            path.unlink()
    except (Timeout, FileNotFoundError):
        return False
    return True


def _remove_position(found: Found, leftover: Leftover) -> bool:  # noqa: ARG001 - see `_WAYS`
    path = _path(leftover)
    try:
        with FileLock(locks.step(path.parent), timeout=0):
            if not (path.parent / RECORD_FILE).is_file():  # the model is being trained again
                return False
            path.unlink()
    except (Timeout, FileNotFoundError):
        return False
    return True


def _remove_file(found: Found, leftover: Leftover) -> bool:  # noqa: ARG001 - see `_WAYS`
    _path(leftover).unlink(missing_ok=True)
    return True


def _remove_log(found: Found, leftover: Leftover) -> bool:
    path = _path(leftover)
    if path.stat().st_size > leftover.bytes:
        cut_log(path, LOG_KEPT_BYTES)
        return True
    return _remove_file(found, leftover)


def _is_busy(found: Found, name: str) -> bool:
    """Return whether a process holds a lock of any step of a model.

    A run may have begun since the leftovers were listed.
    """
    kinds = (folder for folder in step_folders.name_folders(found.home) if folder.name == name)
    return any(
        step_folders.is_held(lock) for folder in kinds for lock in step_folders.lock_files(folder)
    )


def _empty(going: Path) -> None:
    (going / RECORD_FILE).unlink(missing_ok=True)
    shutil.rmtree(going)


def _path(leftover: Leftover) -> Path:
    if leftover.path is None:
        raise ValueError(f"{leftover.kind} {leftover.what} has no files")
    return leftover.path


_WAYS: dict[str, Callable[[Found, Leftover], bool]] = {
    "version": _remove_version,
    "packaged model": _remove_model,
    "run": _remove_run,
    "stale run": _end_run,
    "step": _remove_step,
    "half-removed": _remove_half,
    "lock": _remove_lock,
    "position": _remove_position,
    "fetched": _remove_file,
    "packed": _remove_file,
    "temporary": _remove_file,
    "log": _remove_log,
}
