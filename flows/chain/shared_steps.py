"""Finished steps in an object store, which several homes share: `RNNLM_STEPS=s3://bucket/steps`.

`flows.chain.records` looks for a step there if the home does not have it, and puts there what it
has made. A step's files are under `KIND/NAME/KEY/files/`, each under its sha256, and its record,
which is created last and only if there is none, is `KIND/NAME/KEY/record.json`. So

- a step is in the store if its record is, and then all its files are;
- of two homes that do the same step at once, the first to finish keeps its result, and the other
  one takes that result for its own;
- an interrupted upload or download goes on after the files that arrived.
"""

import os
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from typing_extensions import TypedDict

from flows.runtime import reporting
from rnnlm.checksums import write_record
from rnnlm.errors import ConfigError, StorageError
from rnnlm.object_store import ObjectStore
from rnnlm.progress import Progress
from rnnlm.saved import checked
from rnnlm.storage import is_address, is_intact

VARIABLE = "RNNLM_STEPS"
_RECORD = "record.json"
_STEP = re.compile(r"[\w -]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _File(TypedDict):
    """What a record says about a file."""

    sha256: str


class SharedSteps:
    """The finished steps under an address."""

    def __init__(self, address: str) -> None:
        """Open the store.

        Raises:
            ConfigError: See `ObjectStore`.
        """
        self._objects = ObjectStore(address)

    def fetch(self, folder: Path, record_file: str) -> bool:
        """Download a step into its folder, its record last; return whether the store has it.

        Args:
            folder: Folder of the step; files that are in it already are not downloaded again.
            record_file: Name of the record in the folder.

        Raises:
            StorageError: The store cannot be reached, or the step in it is damaged.
        """
        record = self._objects.read(_name(folder, _RECORD))
        if record is None:
            if self._objects.exists(_name(folder, _RECORD)):
                raise self._damaged(folder)
            return False
        files = self._files_of(record, folder)
        with reporting.progress(record["step"]) as tell:
            for done, (name, digest) in enumerate(files.items()):
                if not is_intact(folder / name, digest):
                    self._objects.download(_name(folder, f"files/{digest}"), folder / name, digest)
                tell(Progress(done + 1, len(files), "files", f"from {self._objects.address}"))
        write_record(folder / record_file, record)
        return True

    def offer(self, folder: Path, record: dict[str, Any]) -> bool:
        """Upload a finished step, its record last, unless the store has the step.

        Args:
            folder: Folder of the step.
            record: Its record.

        Returns:
            Whether the store now holds this result: False if another home uploaded the step first.

        Raises:
            StorageError: The store cannot be reached, or refuses the upload.
        """
        name = _name(folder, _RECORD)
        if not self._objects.exists(name):
            files = self._files_of(record, folder)
            with reporting.progress(record["step"]) as tell:
                for done, (path, digest) in enumerate(files.items()):
                    target = _name(folder, f"files/{digest}")
                    if not self._objects.exists(target):
                        self._objects.upload(folder / path, target)
                    tell(Progress(done + 1, len(files), "files", f"to {self._objects.address}"))
            self._objects.create(name, record)
        found = self._objects.read(name)
        if found is None:
            raise self._damaged(folder)
        return self._files_of(found, folder) == self._files_of(record, folder)

    def _files_of(self, record: dict[str, Any], folder: Path) -> dict[str, str]:
        """Return the sha256 of each file of a record, by name.

        Raises:
            StorageError: The record is damaged, or names a file outside the step's folder.
        """
        try:
            listed = checked(record.get("files"), dict[str, _File])
            step = checked(record.get("step"), str)
        except ValueError as error:
            raise self._damaged(folder) from error
        if not _STEP.fullmatch(step):
            raise self._damaged(folder)
        for name, file in listed.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not _SHA256.fullmatch(file["sha256"]):
                raise self._damaged(folder)
        return {name: file["sha256"] for name, file in listed.items()}

    def _damaged(self, folder: Path) -> StorageError:
        return StorageError(
            f"{self._objects.address}/{_name(folder, _RECORD)} is damaged; delete it, then run the "
            "same command again"
        )


def shared_steps() -> SharedSteps | None:
    """Return the store that `RNNLM_STEPS` names, or None.

    Raises:
        ConfigError: The variable is not an address that can be opened.
    """
    address = os.environ.get(VARIABLE)
    return _open(address) if address else None


@lru_cache(maxsize=1)
def _open(address: str) -> SharedSteps:
    if not is_address(address):
        raise ConfigError(
            f"{VARIABLE}={address[:80]} (expected the address of an object store, such as "
            "s3://bucket/steps)"
        )
    return SharedSteps(address)


def _name(folder: Path, name: str) -> str:
    """Return the name in the store: kind, model and key, which a step's folder ends in."""
    return "/".join((*folder.parts[-3:], name))
