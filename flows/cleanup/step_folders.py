"""Read the folders of steps, `data/KIND/NAME/KEY`, with their records and lock files.

KIND is the kind of result, such as `tokens`; NAME is the name of the model; KEY is the digest of
the step's inputs.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.chain.records import RECORD_FILE, read_step_record
from flows.runtime import locks, model_locks
from flows.runtime.home import Home
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.training.trained import LAST_FILE

NOT_STEPS = frozenset({"sources", "prefect", "logs", "in-use"})
KEY = re.compile(r"[0-9a-f]{16}")
_LOCK = re.compile(r"\.([0-9a-f]{16})\.lock")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StepFolder:
    """The folder of a step.

    Attributes:
        kind: Kind of result: `corpora`, `tokens`, `models`, …
        name: Name of the model.
        key: Key of the step.
        path: The folder.
        step: Name of the step, such as `train`, from its record; empty if there is no record.
        digest: Digest of the step's result; empty if the step has no result.
        inputs: Digests of the results of other steps, and of files, from which this step was made.
        used: When the step was last written or requested, in seconds since 1970.
    """

    kind: str
    name: str
    key: str
    path: Path
    step: str
    digest: str
    inputs: frozenset[str]
    used: float

    @property
    def lock(self) -> Path:
        """Path of the lock file that a process holds while it works on the step."""
        return locks.step(self.path)

    @property
    def place(self) -> tuple[str, str, str]:
        """Kind, name and key, which identify the step even if the home is moved."""
        return self.kind, self.name, self.key


def read(home: Home) -> list[StepFolder]:
    """Return all step folders of a home, including those of interrupted steps.

    Data sets that the user generated, and folders that no step made, are left out.
    """
    found = []
    for names in name_folders(home):
        for path in sorted(names.iterdir()):
            if KEY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                record = read_step_record(path / RECORD_FILE)
                if record is not None or _is_unfinished(path):
                    found.append(_folder(path, record or {}))
    return found


def name_folders(home: Home) -> Iterator[Path]:
    """Yield the folders `data/KIND/NAME`."""
    for kind in sorted(home.data.glob("*/")):
        if kind.name not in NOT_STEPS and not kind.is_symlink():
            yield from (path for path in sorted(kind.glob("*/")) if not path.is_symlink())


def lock_files(folder: Path) -> list[Path]:
    """Return the lock files of the steps of a folder `data/KIND/NAME`."""
    return [path for path in sorted(folder.iterdir()) if _LOCK.fullmatch(path.name)]


def is_held(lock: Path) -> bool:
    """Return whether a process holds the lock of a lock file; the file is not changed."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def busy_names(home: Home) -> set[str]:
    """Return the names of models that a run is working on, or of which a step is locked."""
    folders = [*name_folders(home)]
    working = {name for name in {f.name for f in folders} if model_locks.is_busy(home, name)}
    return working | {f.name for f in folders if any(map(is_held, lock_files(f)))}


def digests_of(value: Any) -> Iterator[str]:
    """Yield the texts that are sha256 digests (64 hexadecimal digits) among nested values."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        yield value
    elif isinstance(value, Mapping):
        yield from digests_of([*value.values()])
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for one in value:
            yield from digests_of(one)


def newest_change(folder: Path) -> float:
    """Return when a folder or anything in it last changed, in seconds since 1970."""
    return max(map(_modified, [folder, *folder.rglob("*")]))


def _folder(path: Path, record: Mapping[str, Any]) -> StepFolder:
    result = record.get("result") or {}
    written = _modified(path / RECORD_FILE) if record else newest_change(path)
    return StepFolder(
        kind=path.parent.parent.name,
        name=path.parent.name,
        key=path.name,
        path=path,
        step=str(record.get("step", "")),
        digest=str(result.get("digest", "")),
        inputs=frozenset(digests_of(record.get("ingredients", {}))),
        used=max(written, _modified(locks.step(path)), _modified(path / LAST_FILE)),
    )


def _is_unfinished(path: Path) -> bool:
    """Return whether a folder without a record is that of an interrupted step.

    Such a folder has a lock file and no manifest; a folder that the user made has no lock file.
    """
    return locks.step(path).is_file() and not (path / MANIFEST_FILE).is_file()


def _modified(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0
