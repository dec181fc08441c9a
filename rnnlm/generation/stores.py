"""Put a finished data set under an address of an object store, each file exactly once.

A job draws and writes its texts in a local folder, whatever the address. When the folder is
complete, its files are uploaded, and the manifest last. An address holds a data set if it holds a
manifest. What makes this safe:

- `job.json` is created under the address before any text is drawn, on condition that there is none.
  It says whose address it is, so that two jobs never mix their files.
- A store shows an object once all of it has arrived, never a part (in S3, also if it is uploaded in
  parts). Storage that shows parts, such as SFTP, gets a temporary name first, then a rename.
- Each upload is recorded in the local folder with what the store says of the object. After a kill,
  only files without such a record are uploaded; without the local folder, all of them are, with the
  same bytes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnlm.checksums import read_record, sealed, unsealed, write_record
from rnnlm.config import shorten
from rnnlm.errors import ConfigError, GenerationError, StorageError
from rnnlm.generation.job_folder import JOB_FILE, LOCK, MANIFEST_FILE, WORK
from rnnlm.generation.manifest import TextDataSet
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.saved import checked
from rnnlm.storage import file_digest

_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""Protocols of stores that show an object only once it is complete."""
UPLOADED = ".uploaded"
"""Folder of the records of uploads, in the local folder of a data set."""
_MOST_BYTES = 1 << 30
"""Largest job file or manifest to read."""


class Store:
    """The files under an address.

    Attributes:
        address: The address, without a slash at its end.
    """

    def __init__(self, address: str) -> None:
        """Open a store; nothing is sent yet.

        Raises:
            ConfigError: The address has no bucket, or its protocol is unknown or needs a package
                that is not installed.
        """
        import fsspec
        from fsspec.core import url_to_fs

        protocol, _, folder = address.partition("://")
        if not folder.strip("/"):
            raise ConfigError(
                f"{shorten(address, 80)} names no folder (expected {protocol}://BUCKET/FOLDER)"
            )
        if protocol not in fsspec.available_protocols():
            raise ConfigError(
                f"{shorten(address, 80)}: unknown protocol {protocol!r} (expected s3, gs, abfs or "
                "another one of fsspec); check the address"
            )
        self.address = address.rstrip("/")
        self._is_whole = protocol in _WHOLE
        try:
            self._files, self._root = url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            extra = "rnnlm[s3]" if protocol.startswith("s3") else "what fsspec needs for it"
            raise ConfigError(
                f"{shorten(address, 80)}: {error}; install {extra} with pip"
            ) from error
        except ValueError as error:
            raise ConfigError(f"{shorten(address, 80)}: {error}; check the address") from error

    def claim(self, job: dict[str, Any]) -> TextDataSet | None:
        """Return the finished data set of a job; if there is none, mark the address as the job's.

        Raises:
            GenerationError: The address belongs to another job, or holds other files.
            StorageError: The store cannot be reached, or refuses.
        """
        with self._talking():
            manifest = self._read(MANIFEST_FILE)
            owner = manifest.get("job") if manifest else self._read(JOB_FILE)
            if owner is None and self._files.exists(self._path(JOB_FILE)):
                raise GenerationError(
                    f"{self.address}/{JOB_FILE} is damaged; delete it, or choose another --out"
                )
            if owner is None:
                self._check_empty()
                self._create(JOB_FILE, json.dumps(sealed(job)).encode())
                owner = self._read(JOB_FILE)  # another job may have been faster
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
            with self._talking():
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
            if not self._files.exists(self._path(name)):
                raise GenerationError(
                    f"{self.address}/{name} is missing although the data set was finished; delete "
                    f"{MANIFEST_FILE} there and generate again"
                )
        return data_set.model_copy(update={"uri": self.address, "was_finished": True})

    def _put(self, folder: Path, name: str) -> None:
        """Upload a file, unless a record says that the store still has it."""
        source, target = folder / name, self._path(name)
        record, digest = folder / UPLOADED / f"{name}.json", file_digest(source)
        known = read_record(record)
        if known == {"sha256": digest, "object": self._object(name)}:
            return
        if self._is_whole:
            self._files.put_file(str(source), target)
        else:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            temporary = f"{target}.{digest[:8]}.tmp"
            self._files.put_file(str(source), temporary)
            self._files.mv(temporary, target)
        size = self._files.info(target)["size"]
        if size != source.stat().st_size:
            raise StorageError(
                f"{self.address}/{name} has {size:,} bytes (expected {source.stat().st_size:,}); "
                "run the same command again"
            )
        write_record(record, {"sha256": digest, "object": self._object(name)})

    def _object(self, name: str) -> str | None:
        """Return what identifies the content of an object in the store; None if there is none."""
        try:
            return str(self._files.ukey(self._path(name)))
        except FileNotFoundError:
            return None

    def _create(self, name: str, content: bytes) -> None:
        """Create a small object, unless it exists."""
        target = self._path(name)
        try:
            if self._is_whole:
                self._files.pipe_file(target, content, mode="create")
            elif not self._files.exists(target):
                self._files.makedirs(self._root, exist_ok=True)
                self._files.pipe_file(target, content)
        except FileExistsError:
            pass

    def _check_empty(self) -> None:
        """Check that there is nothing under the address."""
        try:
            found = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return
        if any(str(path).rstrip("/") != self._root.rstrip("/") for path in found):
            raise GenerationError(
                f"{self.address} holds other files (expected an empty or new folder); choose "
                "another --out"
            )

    def _read(self, name: str) -> dict[str, Any] | None:
        """Return a record; None if it is missing or damaged."""
        try:
            if self._files.info(self._path(name))["size"] > _MOST_BYTES:
                return None
            return unsealed(json.loads(self._files.cat_file(self._path(name))))
        except (FileNotFoundError, ValueError):
            return None

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn the errors of a store into one line."""
        try:
            yield
        except (GenerationError, StorageError):
            raise
        except Exception as error:  # each protocol's library has errors of its own
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise StorageError(
                f"{self.address}: {shorten(reason, 200)}; check the address and its credentials, "
                "then run the same command again"
            ) from error
