"""Results on disk: each step has a key, a folder, and a record that shows that the step is done.

A step is a piece of work for particular inputs. Its key is a digest of its name, its version (a
number that is raised when the step's code changes) and its ingredients: the settings that affect
the result, and the digests of the inputs. Its folder is `data/<kind>/<name>/<key>/`, where the name
is that of the model. The record in that folder is written last and lists every file with its
digest. If a file is missing or differs from its digest, the record is ignored, and the step is done
again.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from flows.runtime import locks
from rnnlm.config import shorten
from rnnlm.errors import DamagedFileError
from rnnlm.saved import read_json
from rnnlm.storage import file_digest, value_digest, write_json
from rnnlm.training.run import LAST_FILE

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
    """

    name: str
    version: int
    ingredients: Mapping[str, Any]
    result_type: type[R]
    siblings: Path

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
        record = read_record(self.folder / RECORD_FILE)
        if record is None or _fault(self.folder, record) or _forced.get():
            return None
        with suppress(ValueError):  # a result of another shape counts as none
            return self.result_type.model_validate(record["result"])
        return None

    def remember(self, result: R, seconds: float) -> None:
        """Write the record: the result and the digests of all files in the folder.

        Args:
            result: Result of the step.
            seconds: How long the step took.
        """
        files = {
            str(path.relative_to(self.folder)): _Seen.of(path)._asdict()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in _UNRECORDED
        }
        record = {
            "step": self.name,
            "version": self.version,
            "ingredients": self.ingredients,
            "seconds": round(seconds, 3),
            "files": files,
            "result": result.model_dump(),
        }
        write_json(self.folder / RECORD_FILE, record)

    def forget_if_forced(self) -> None:
        """Within the context `forced`, remove the folder, so that the step starts from scratch."""
        if _forced.get():
            shutil.rmtree(self.folder, ignore_errors=True)

    def why(self) -> str:
        """Return in a few words why `recall` returns None."""
        if _forced.get():
            return "forced"
        record = read_record(self.folder / RECORD_FILE)
        if record is not None:
            return _fault(self.folder, record) or "done"
        if (self.folder / LAST_FILE).is_file():
            return "was interrupted; will resume where it stopped"
        records = [(path, read_record(path)) for path in self.siblings.glob(f"*/{RECORD_FILE}")]
        known = [(path.stat().st_mtime, record) for path, record in records if record]
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
        """Store the folder and the recorded result; the latter is None if there is none."""
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
    error. If another process is working on the same step, this function waits for it.

    Args:
        step: The step to do.
    """
    step.siblings.mkdir(parents=True, exist_ok=True)
    lock = locks.step(step.folder)
    with FileLock(lock):
        lock.touch()  # records when the step was last requested
        attempt = Attempt(step.folder, step.recall())
        if attempt.is_recalled:
            yield attempt
            return
        step.forget_if_forced()
        began = time.monotonic()
        yield attempt
        step.remember(attempt.result, time.monotonic() - began)


@contextmanager
def forced(force: bool) -> Iterator[None]:
    """Within this context, ignore all recorded results if `force` is true."""
    token = _forced.set(force)
    try:
        yield
    finally:
        _forced.reset(token)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a file, or None if the file is missing or damaged."""
    try:
        record: dict[str, Any] = read_json(path, _Record, "")
    except DamagedFileError:
        return None
    return record


class _File(TypedDict):
    """The shape of what a record says about a file; see `_Seen`."""

    __pydantic_config__ = ConfigDict(extra="ignore")  # type: ignore[misc]

    size: int
    modified: int
    sha256: str


class _Record(TypedDict):
    """The shape of a record; other keys are kept."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    step: str
    version: int
    ingredients: dict[str, Any]
    files: dict[str, _File]
    result: dict[str, Any]


class _Seen(NamedTuple):
    """Size, time and digest that a file had when it was recorded.

    Attributes:
        size: Size in bytes.
        modified: Time of the last change, in nanoseconds since 1970.
        sha256: Digest of the content.
    """

    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "_Seen":
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, file_digest(path))

    def holds(self, path: Path) -> bool:
        """Return whether the file has the recorded content.

        The content is read only if the size is the same and the modification time is not.
        """
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (self.size, self.modified):
            return True
        return status.st_size == self.size and file_digest(path) == self.sha256


def _fault(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return which file of a record is missing or was changed, or None if all are intact."""
    for name, seen in record["files"].items():
        path = folder / name
        try:
            if not path.is_file():
                return f"{name} is missing"
            if not _Seen(**seen).holds(path):
                return f"{name} was changed"
        except OSError:  # such as a name that is too long, in a damaged record
            return f"{shorten(name)} cannot be read"
    return None


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
