"""What must be the same on another machine for its work to fit: code, packages and files.

A client describes its own side with `Terms.here`, and sends these terms along with the work. The
worker compares them with its own before it does anything.
"""

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rnnlm.errors import WorkerError

R = TypeVar("R")
PACKAGES = ("numpy", "pyarrow", "tokenizers", "torch", "ftfy", "chardet")
"""Packages on which the bytes of results depend."""
_SUFFIXES = {".py", ".c", ".h"}


@dataclass(frozen=True)
class Terms:
    """What a client expects of its workers.

    Attributes:
        folder: A folder that must exist, with the same absolute path.
        python: Version of Python, without the last number.
        code: Digest of the source files of this package.
        packages: Versions of `PACKAGES`, in that order.
    """

    folder: str
    python: str
    code: str
    packages: tuple[str, ...]

    @classmethod
    def here(cls, folder: Path) -> "Terms":
        """Return the terms of this process, for work in a folder."""
        return cls(str(folder.absolute()), _python(), _code(), _packages())

    def check(self) -> None:
        """Compare the terms with this process.

        Raises:
            WorkerError: They differ; the message says in what.
        """
        if not Path(self.folder).is_dir():
            raise WorkerError(f"does not have the folder {self.folder}; mount it there")
        pairs = [("Python", self.python, _python())]
        pairs += zip(PACKAGES, self.packages, _packages(), strict=True)
        for name, expected, found in pairs:
            if found != expected:
                raise WorkerError(f"has {name} {found} (expected {expected}, as here)")
        if _code() != self.code:
            raise WorkerError("has other source code of rnnlm; install the same version")


def work(terms: Terms, function: Callable[..., R], *arguments: Any) -> R:
    """Do some work on a worker, after checking the terms, once per process and client.

    Raises:
        WorkerError: See `Terms.check`.
    """
    _check_once(terms)
    return function(*arguments)


@lru_cache(maxsize=64)
def _check_once(terms: Terms) -> None:
    try:
        terms.check()  # an error is not cached
    except WorkerError as error:
        raise WorkerError(f"the worker on {socket.gethostname()} {error}") from error


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@lru_cache(maxsize=1)
def _packages() -> tuple[str, ...]:
    return tuple(_version(name) for name in PACKAGES)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


@lru_cache(maxsize=1)
def _code() -> str:
    root = Path(__file__).parent
    total = sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in _SUFFIXES):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
