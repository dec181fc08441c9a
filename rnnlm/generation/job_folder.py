"""The folder of a job: which job it belongs to, whether the job is finished, and its lock.

`rnnlm.generation.job` lists the files in the folder.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from rnnlm.audit.card import CARD_FILE, write_card
from rnnlm.checksums import first_fault, read_record
from rnnlm.errors import GenerationError, StorageError
from rnnlm.generation.manifest import TextDataSet
from rnnlm.generation.publishing import SPLIT, TEXTS, PublishedFile
from rnnlm.saved import checked
from rnnlm.storage import value_digest

JOB_FILE = "job.json"
MANIFEST_FILE = "manifest.json"
WORK, LOCK = ".work", ".lock"

_log = logging.getLogger(__name__)


def claim(out: Path, job: dict[str, Any]) -> TextDataSet | None:
    """Return the finished data set in `out`, if any; otherwise check that the job may use `out`.

    Raises:
        GenerationError: `out` contains another job, or other files.
        StorageError: `out` cannot be read.
    """
    try:
        finished = _finished(out, job)
        if finished is None:
            _check_folder(out, job)
    except OSError as error:
        raise _cannot_use(out, error) from error
    return finished


def _finished(out: Path, job: dict[str, Any]) -> TextDataSet | None:
    """Return the data set in `out` if it is finished and intact; rewrite its card if missing."""
    path = out / MANIFEST_FILE
    if not path.is_file():
        return None
    manifest = read_record(path)
    if manifest is None:
        _log.warning("%s is damaged; generating the texts again", path)
        path.unlink()
        return None
    if manifest.get("job") != job:
        raise GenerationError(_refusal(out))
    try:
        data_set: TextDataSet = checked(manifest.get("data_set"), TextDataSet)
        files: list[PublishedFile] = checked(manifest.get("shards"), list[PublishedFile])
    except ValueError as error:
        _log.warning("%s is damaged: %s; generating the texts again", path, error)
        path.unlink()
        return None
    fault = first_fault(out, {file.file: file.sha256 for file in files})
    missing = [f"{page} is missing" for page in data_set.pages if not (out / page).is_file()]
    if fault or missing:
        _log.warning("%s: %s; generating the texts again", out, fault or missing[0])
        path.unlink()
        return None
    try:
        if not (out / CARD_FILE).is_file():
            write_card(out, manifest)
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise GenerationError(
            f"{path} lacks what the card needs; delete it and generate again"
        ) from error
    sweep(out)
    return data_set.model_copy(update={"uri": str(out), "was_finished": True})


def remove_torn(out: Path) -> None:
    """Remove half-written files that killed processes left, before the manifest is written.

    Shards that an earlier version wrote directly into the job's folder are removed too. They have
    been written again into `data/`.
    """
    for path in (*out.glob(".*.tmp"), *(out / TEXTS).glob(".*.tmp"), *out.glob(f"{SPLIT}-*")):
        path.unlink(missing_ok=True)


def sweep(out: Path) -> None:
    """Remove the files that a finished job no longer needs."""
    shutil.rmtree(out / WORK, ignore_errors=True)
    (out / LOCK).unlink(missing_ok=True)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Create a folder if needed, and turn failures to read or write its files into one line.

    Raises:
        StorageError: The folder cannot be written to, or one of its files cannot be read or
            written within the context.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_use(out, error) from error
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: {error.strerror or error}, while texts were written to "
            f"{out}; run the same command again to finish the data set"
        ) from error


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Do as `writing` does, and lock the folder against other processes that publish in it."""
    with writing(out):
        try:
            lock = FileLock(out / LOCK)
            lock.acquire()
        except OSError as error:
            raise _cannot_use(out, error) from error
        try:
            yield
        finally:
            lock.release()


def _cannot_use(out: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write to {out}: {error.strerror or error}; choose another --out")


def _check_folder(out: Path, job: dict[str, Any]) -> None:
    """Check that the folder `out` belongs to this job, is empty, or does not exist yet."""
    known = read_record(out / JOB_FILE)
    if known is not None:
        if known != job:
            raise GenerationError(_refusal(out))
    elif (out / JOB_FILE).is_file():
        if any(record.get("job") != value_digest(job) for record in _drawn_records(out)):
            raise GenerationError(_refusal(out))
    elif out.exists() and (not out.is_dir() or any(map(_is_foreign, out.iterdir()))):
        what = "contains other files" if out.is_dir() else "is a file"
        raise GenerationError(
            f"{out} {what} (expected an empty or new folder); choose another --out"
        )


def _drawn_records(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the intact records of the shards that an unfinished job has drawn."""
    for path in (out / WORK / "drawn").glob("*.json"):
        if (record := read_record(path)) is not None:
            yield record


def _is_foreign(path: Path) -> bool:
    """Return whether a path is none of those that a job creates when it begins to use a folder."""
    return not (path.name.startswith(f".{JOB_FILE}.") or path.name in (JOB_FILE, WORK, LOCK))


def _refusal(out: Path) -> str:
    return f"{out} belongs to another job (see {JOB_FILE} there); choose another --out"
