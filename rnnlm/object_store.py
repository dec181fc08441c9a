"""Objects under an address of an object store, such as S3, which fsspec opens.

A store shows an object once all of it has arrived, never a part (in S3, also if it is uploaded in
parts). Storage that shows parts, such as SFTP, gets a temporary name first, then a rename.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnlm.checksums import sealed, unsealed
from rnnlm.config import shorten
from rnnlm.errors import ConfigError, RnnlmError, StorageError
from rnnlm.storage import atomic_path, file_digest

_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""Protocols of stores that show an object only once it is complete."""
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs boto3"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
}
"""What pip installs so that fsspec can open addresses of a protocol."""
_MOST_BYTES = 1 << 30
"""Size of the largest record to read."""


class ObjectStore:
    """The objects under an address.

    All methods raise StorageError if the store cannot be reached, or refuses.

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
            if packages := _PACKAGES.get(protocol):
                advice = f"it needs {packages}; run pip install {packages}"
            else:
                advice = f"{error}; install it with pip"
            raise ConfigError(f"{shorten(address, 80)}: {advice}") from error
        except ValueError as error:
            raise ConfigError(f"{shorten(address, 80)}: {error}; check the address") from error

    def exists(self, name: str) -> bool:
        """Return whether there is an object of this name."""
        with self._talking():
            return bool(self._files.exists(self._path(name)))

    def is_empty(self) -> bool:
        """Return whether there is nothing under the address."""
        with self._talking():
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return True
            return all(str(path).rstrip("/") == self._root.rstrip("/") for path in found)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a sealed record (see `rnnlm.checksums`); None if it is missing or damaged."""
        with self._talking():
            try:
                if self._files.info(self._path(name))["size"] > _MOST_BYTES:
                    return None
                return unsealed(json.loads(self._files.cat_file(self._path(name))))
            except (FileNotFoundError, ValueError):
                return None

    def create(self, name: str, record: dict[str, Any]) -> None:
        """Write a record with a seal, unless there is an object of this name."""
        target, content = self._path(name), json.dumps(sealed(record)).encode()
        with self._talking():
            try:
                if self._is_whole:
                    self._files.pipe_file(target, content, mode="create")
                elif not self._files.exists(target):
                    self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                    self._files.pipe_file(target, content)
            except FileExistsError:
                pass

    def upload(self, source: Path, name: str) -> None:
        """Upload a file, in place of an object of this name."""
        target, size = self._path(name), source.stat().st_size
        with self._talking():
            if self._is_whole:
                self._files.put_file(str(source), target)
            else:
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                temporary = f"{target}.{file_digest(source)[:8]}.tmp"
                self._files.put_file(str(source), temporary)
                self._files.mv(temporary, target)
            arrived = self._files.info(target)["size"]
        if arrived != size:
            raise StorageError(
                f"{self.address}/{name} has {arrived:,} bytes (expected {size:,}); run the same "
                "command again"
            )

    def download(self, name: str, to: Path, sha256: str) -> None:
        """Write an object to a file.

        Raises:
            StorageError: The object is missing, or its content is not the expected one.
        """
        with atomic_path(to) as temporary, self._talking():
            self._files.get_file(self._path(name), str(temporary))
            if file_digest(temporary) != sha256:
                raise StorageError(
                    f"{self.address}/{name} is damaged; delete it, then run the same command again"
                )

    def identity(self, name: str) -> str | None:
        """Return what identifies the content of an object in the store; None if there is none."""
        with self._talking():
            try:
                return str(self._files.ukey(self._path(name)))
            except FileNotFoundError:
                return None

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn the errors of a store into one line."""
        try:
            yield
        except RnnlmError:
            raise
        except Exception as error:  # each protocol's library has errors of its own
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise StorageError(
                f"{self.address}: {shorten(reason, 200)}; check the address and its credentials, "
                "then run the same command again"
            ) from error
