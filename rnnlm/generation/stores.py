"""Put a finished data set under an address of an object store, each file exactly once.

A job draws and writes its texts in a local folder, whatever the address. When the folder is
complete, its files are uploaded, and the manifest last. An address holds a data set if it holds a
manifest. What makes this safe:

- `job.json` is created under the address before any text is drawn, on condition that there is none.
  It says whose address it is, so that two jobs never mix their files.
- A store shows an object only once all of it has arrived (see `rnnlm.object_store`).
- Each upload is recorded in the local folder with what the store says of the object. After a kill,
  only files without such a record are uploaded; without the local folder, all of them are, with the
  same bytes.
"""

from pathlib import Path
from typing import Any

from rnnlm.checksums import read_record, write_record
from rnnlm.errors import GenerationError
from rnnlm.generation.job_folder import JOB_FILE, LOCK, MANIFEST_FILE, WORK
from rnnlm.generation.manifest import TextDataSet
from rnnlm.object_store import ObjectStore
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.saved import checked
from rnnlm.storage import file_digest

UPLOADED = ".uploaded"
"""Folder of the records of uploads, in the local folder of a data set."""


class Store:
    """The place of a data set under an address.

    Attributes:
        address: The address, without a slash at its end.
        objects: The objects under it.
    """

    def __init__(self, address: str) -> None:
        """Open a store; nothing is sent yet.

        Raises:
            ConfigError: See `ObjectStore`.
        """
        self.objects = ObjectStore(address)
        self.address = self.objects.address

    def claim(self, job: dict[str, Any]) -> TextDataSet | None:
        """Return the finished data set of a job; if there is none, mark the address as the job's.

        Raises:
            GenerationError: The address belongs to another job, or holds other files.
            StorageError: The store cannot be reached, or refuses.
        """
        manifest = self.objects.read(MANIFEST_FILE)
        owner = manifest.get("job") if manifest else self.objects.read(JOB_FILE)
        if owner is None and self.objects.exists(JOB_FILE):
            raise GenerationError(
                f"{self.address}/{JOB_FILE} is damaged; delete it, or choose another --out"
            )
        if owner is None:
            if not self.objects.is_empty():
                raise GenerationError(
                    f"{self.address} holds other files (expected an empty or new folder); choose "
                    "another --out"
                )
            self.objects.create(JOB_FILE, job)
            owner = self.objects.read(JOB_FILE)  # another job may have been faster
        if owner != job:
            raise GenerationError(
                f"{self.address} belongs to another job (see {JOB_FILE} there); choose another "
                "--out"
            )
        return self._finished(manifest) if manifest else None

    def upload(self, folder: Path, on_progress: OnProgress = silent) -> None:
        """Upload the data set in a folder, its manifest last.

        Args:
            folder: The folder of a finished data set. Records of uploads are added to it.
            on_progress: Called with the number of files uploaded.

        Raises:
            StorageError: The store cannot be reached, or refuses. What was uploaded stays.
        """
        hidden = (LOCK, WORK, UPLOADED, JOB_FILE, MANIFEST_FILE)
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in found]
        names = [name for name in names if name.split("/")[0] not in hidden]
        for done, name in enumerate([*names, MANIFEST_FILE]):
            self._put(folder, name)
            on_progress(Progress(done + 1, len(names) + 1, "files uploaded"))

    def _finished(self, manifest: dict[str, Any]) -> TextDataSet:
        """Return the data set that a manifest describes.

        Raises:
            GenerationError: The manifest is damaged, or a file that it lists is missing.
        """
        try:
            data_set: TextDataSet = checked(manifest.get("data_set"), TextDataSet)
        except ValueError as error:
            raise GenerationError(
                f"{self.address}/{MANIFEST_FILE} is damaged ({error}); delete it and generate again"
            ) from error
        for name in manifest.get("files", ()):
            if not self.objects.exists(name):
                raise GenerationError(
                    f"{self.address}/{name} is missing although the data set was finished; delete "
                    f"{MANIFEST_FILE} there and generate again"
                )
        return data_set.model_copy(update={"uri": self.address, "was_finished": True})

    def _put(self, folder: Path, name: str) -> None:
        """Upload a file, unless a record says that the store still has it."""
        record, digest = folder / UPLOADED / f"{name}.json", file_digest(folder / name)
        known = read_record(record)
        if known == {"sha256": digest, "object": self.objects.identity(name)}:
            return
        self.objects.upload(folder / name, name)
        write_record(record, {"sha256": digest, "object": self.objects.identity(name)})
