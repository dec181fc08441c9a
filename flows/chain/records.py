"""Results on disk: each step has a key, a folder, and a record that shows that the step is done.

A step is a piece of work for particular inputs. Its key is a digest of its name, its version (a
number that is raised when the step's code changes) and its ingredients: the settings that affect
the result, and the digests of the inputs. Its folder is `data/<kind>/<name>/<key>/`, where the name
is that of the model. The record in that folder is written last and lists every file with its
digest, and a digest of itself. Each time a result is used, all files are read and compared with
their digests. If a file is missing or differs, or the record itself is damaged, the step is done
again, with a warning.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from flows.chain.shared_steps import SharedSteps, shared_steps
from flows.runtime import locks
from rnnlm.checksums import first_fault, list_files, read_record, write_record
from rnnlm.errors import StorageError
from rnnlm.storage import is_intact, is_temporary, value_digest
from rnnlm.training.trained import LAST_FILE

R = TypeVar("R", bound=BaseModel)

RECORD_FILE = ".step.json"
_UNRECORDED = {RECORD_FILE, LAST_FILE}
_forced: ContextVar[bool] = ContextVar("forced", default=False)


@dataclass(frozen=True)
class Step(Generic[R]):
    """A piece of work with everything that determines its result.

    Attributes:
        name: Name of the step, a verb such as `train`.
        version: Version of the step's code; to be raised when the code produces other results.
        ingredients: Everything that the result depends on, by name; JSON-serializable.
        result_type: Type of the result, a pydantic model.
        siblings: Folder that holds the folders of this step for all ingredients.
        derived: Names of files that the step can rebuild from the other files in its folder. If
            any other file is missing or damaged, the step starts over in an empty folder.
    """

    name: str
    version: int
    ingredients: Mapping[str, Any]
    result_type: type[R]
    siblings: Path
    derived: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Key of the step: 16 hexadecimal digits, a digest of its name, version and ingredients."""
        return value_digest([self.name, self.version, self.ingredients])[:16]

    @property
    def folder(self) -> Path:
        """Folder that the step writes to."""
        return self.siblings / self.key

    def recall(self) -> R | None:
        """Return the recorded result if all its files exist unchanged, else None.

        Within the context `forced`, always return None.
        """
        record = None if _forced.get() else read_step_record(self.folder / RECORD_FILE)
        if record is None or _fault(self.folder, record):
            return None
        with suppress(ValueError):  # a result with other fields counts as missing
            return self.result_type.model_validate(_moved(record["result"], self.folder))
        return None

    def remember(self, result: R, seconds: float) -> None:
        """Write the record: the result and the digests of all files in the folder.

        Args:
            result: Result of the step.
            seconds: How long the step took.

        Raises:
            StorageError: A file that the result names is missing: something else removed it.
        """
        value = result.model_dump()
        if missing := _missing(self.folder, value):
            raise StorageError(
                f"{self.folder / missing} was removed while the step {self.name} was done; run the "
                "same command again"
            )
        record = {
            "step": self.name,
            "version": self.version,
            "ingredients": self.ingredients,
            "seconds": round(seconds, 3),
            "files": {
                name: {"sha256": digest}
                for name, digest in list_files(self.folder, _UNRECORDED).items()
            },
            "result": value,
        }
        write_record(self.folder / RECORD_FILE, record)

    def clear(self) -> None:
        """Remove what the step must not build on: damaged results, or everything within `forced`.

        The files of an interrupted step, which has no record yet, are kept, except those that it
        was writing. If a finished step has a fault, a warning is logged. Then only the record and
        the files in `derived` are removed if all other files are intact, and the whole folder
        otherwise.
        """
        path = self.folder / RECORD_FILE
        if _forced.get():
            shutil.rmtree(self.folder, ignore_errors=True)
        elif path.exists():
            logging.getLogger(__name__).warning(
                "%s: %s; doing the step %s again", self.folder, self.why(), self.name
            )
            record = read_step_record(path)
            others = {
                name: digest
                for name, digest in (_digests(record) if record else {}).items()
                if name not in self.derived
            }
            if not others or first_fault(self.folder, others):
                shutil.rmtree(self.folder, ignore_errors=True)
            for name in (RECORD_FILE, *self.derived):
                (self.folder / name).unlink(missing_ok=True)
        for path in self.folder.rglob(".*.tmp"):
            if is_temporary(path):
                path.unlink(missing_ok=True)

    def why(self) -> str:
        """Return in a few words why `recall` returns None."""
        if _forced.get():
            return "forced"
        if (self.folder / RECORD_FILE).exists():
            return fault_of(self.folder) or "done"
        if (self.folder / LAST_FILE).is_file():
            return "was interrupted; will resume where it stopped"
        records = [
            (path, read_step_record(path)) for path in self.siblings.glob(f"*/{RECORD_FILE}")
        ]
        known = [
            (path.stat().st_mtime, record)
            for path, record in records
            if record and record["step"] == self.name  # others are imports
        ]
        if not known:
            return "first time"
        latest = max(known, key=lambda pair: pair[0])[1]
        if latest["version"] != self.version:
            return f"step version {latest['version']} → {self.version}"
        ingredients = json.loads(json.dumps(self.ingredients))  # in the form that the record has
        changes = [*_changes(latest["ingredients"], ingredients)]
        more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
        return ", ".join(changes[:2]) + more


class Attempt(Generic[R]):
    """What the context of `attempt` works with: the step's folder and its result.

    If a result was recorded earlier, `result` returns it. Otherwise the code within the context
    must make a result and assign it to `result`.

    Attributes:
        folder: Folder that the step writes to.
        is_recalled: Whether a recorded result was found.
    """

    def __init__(self, folder: Path, recalled: R | None) -> None:
        """Store the folder and the recorded result, or None if there is no recorded result."""
        self.folder, self.is_recalled, self._result = folder, recalled is not None, recalled

    @property
    def result(self) -> R:
        """The recorded result, or the result that was assigned."""
        assert self._result is not None, "no result was set"
        return self._result

    @result.setter
    def result(self, result: R) -> None:
        self._result = result


@contextmanager
def attempt(step: Step[R]) -> Iterator[Attempt[R]]:
    """Lock a step and yield an `Attempt`, which holds the recorded result if there is one.

    If there is none, the code within the context must do the work, write to the attempt's folder,
    and assign the result to the attempt. The result is recorded when the context ends without an
    error. If another process is working on the same step, this function waits for it. If homes
    share their finished steps (`flows.chain.shared_steps`), the result may be that of another home.

    Args:
        step: The step to do.
    """
    step.siblings.mkdir(parents=True, exist_ok=True)
    lock = locks.step(step.folder)
    with FileLock(lock):
        lock.touch()  # records when the step was last requested
        shared = None if _forced.get() else shared_steps()
        recalled = step.recall()
        if shared and recalled is None and shared.fetch(step.folder, RECORD_FILE):
            recalled = step.recall()
        attempt = Attempt(step.folder, recalled)
        if not attempt.is_recalled:
            step.clear()
        began = time.monotonic()
        yield attempt
        if not attempt.is_recalled:
            step.remember(attempt.result, time.monotonic() - began)
        if shared:
            _share(step, attempt, shared)


def _share(step: Step[R], attempt: Attempt[R], shared: SharedSteps) -> None:
    """Put a finished step into the store; if another home was faster, take its result."""
    record = read_step_record(step.folder / RECORD_FILE)
    if record and not shared.offer(step.folder, record) and not attempt.is_recalled:
        shutil.rmtree(step.folder)
        shared.fetch(step.folder, RECORD_FILE)
        result = step.recall()
        if result is None:
            raise StorageError(
                f"the step {step.name} in the shared store was made by another version of rnnlm "
                f"(key {step.key}); delete it there, or run the command with --force"
            )
        attempt.result = result


@contextmanager
def forced(force: bool) -> Iterator[None]:
    """Within this context, ignore all recorded results if `force` is true."""
    token = _forced.set(force)
    try:
        yield
    finally:
        _forced.reset(token)


def read_step_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a file, or None if the file is missing or damaged."""
    record: dict[str, Any] | None = read_record(path, _Record)
    return record


class _File(TypedDict):
    """The shape of what a record says about a file; records of earlier versions say more."""

    __pydantic_config__ = ConfigDict(extra="ignore")  # type: ignore[misc]

    sha256: str


class _Record(TypedDict):
    """The shape of a record; other keys are kept."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    step: str
    version: int
    ingredients: dict[str, Any]
    files: dict[str, _File]
    result: dict[str, Any]


def fault_of(folder: Path) -> str | None:
    """Return in a few words what is wrong with a step's folder.

    Return None if all files are intact, or if the step was not finished and has no record.
    """
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    record = read_step_record(path)
    return f"{RECORD_FILE} is damaged" if record is None else _fault(folder, record)


def changed_files(folder: Path) -> dict[str, str]:
    """Return the files of a step that are missing or differ from their digests.

    The content of every file is read, whatever its modification time.

    Args:
        folder: Folder of a step.

    Returns:
        The recorded sha256 of each such file, by name; empty if the folder has no record.
    """
    record = read_step_record(folder / RECORD_FILE) or {"files": {}}
    return {
        name: seen["sha256"]
        for name, seen in record["files"].items()
        if not is_intact(folder / name, seen["sha256"])
    }


def _fault(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return which file of a record is missing or damaged, or None if all are intact."""
    missing = _missing(folder, record["result"])
    return f"{missing} is missing" if missing else first_fault(folder, _digests(record))


def _missing(folder: Path, result: Mapping[str, Any]) -> str | None:
    """Return the name of a file that a result names and that is not in the step's folder."""
    beginning = f"{result.get('uri', folder)}/"
    if Path(beginning).name != folder.name:
        return None

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, str) and value.startswith(beginning):
            yield value.removeprefix(beginning)
        elif isinstance(value, Mapping | list):
            for one in value.values() if isinstance(value, Mapping) else value:
                yield from names(one)

    return next((name for name in names(result) if not (folder / name).exists()), None)


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    return {name: seen["sha256"] for name, seen in record["files"].items()}


def _moved(result: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a recorded result with the paths of its files as they are now.

    They differ if the home was moved, or if it is reached from another current directory.

    Args:
        result: The recorded result, which names the folder that it was written to as `uri`.
        folder: The folder that it is in.
    """
    was = str(result.get("uri", ""))
    if Path(was).parts[-2:] != folder.parts[-2:]:
        return dict(result)

    def move(value: Any) -> Any:
        if isinstance(value, str) and (value == was or value.startswith(f"{was}/")):
            return str(folder) + value[len(was) :]
        if isinstance(value, Mapping):
            return {key: move(one) for key, one in value.items()}
        return [move(one) for one in value] if isinstance(value, list) else value

    return {key: move(value) for key, value in result.items()}


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            digests = all(isinstance(v, str) and len(v) == 64 for v in (old, new))
            yield f"{prefix}{key} changed" if digests else f"{prefix}{key} {old} → {new}"
