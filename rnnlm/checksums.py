"""Check, each time before a file is used, that its content is what was written.

A file's size and modification time do not show that a disk flipped a bit or that a copy went wrong.
So

- a JSON record contains a digest of itself (`write_record`, `read_record`);
- a folder is described by the digests of its files (`list_files`, `first_fault`);
- Parquet shards are written with a checksum for each page, which is verified when the page is read
  (`PAGE_CHECKSUMS`, `open_parquet`).

Records and shards of earlier versions have no digests; they are read without these checks.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from rnnlm.errors import DamagedFileError
from rnnlm.saved import as_json, checked, read_json
from rnnlm.storage import file_digest, value_digest, write_json

T = TypeVar("T")

DIGEST = "sha256_of_record"
"""Key of a record under which the digest of everything else in the record is stored."""
PAGE_CHECKSUMS = {"write_page_checksum": True}
"""Arguments for pyarrow's Parquet writers."""
_MOST_THREADS = 4


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON-able mapping with a digest of itself, as `unsealed` expects it."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(value)))  # keys become strings, as on disk
    plain.pop(DIGEST, None)
    return {**plain, DIGEST: value_digest(plain)}


def unsealed(value: Any) -> dict[str, Any] | None:
    """Return a mapping without the digest that `sealed` added, or None if the digest is wrong.

    A mapping without a digest, which an earlier version wrote, is returned as it is. A value that
    is not a mapping gives None.
    """
    if not isinstance(value, dict):
        return None
    digest = value.pop(DIGEST, None)
    return value if digest is None or digest == value_digest(value) else None


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping and a digest of it as JSON, whole or not at all."""
    write_json(path, sealed(value))


def read_record(path: Path, shape: Any = dict[str, Any]) -> Any:
    """Return the value in a file, or None if the file is missing, cut short or damaged.

    Args:
        path: The file.
        shape: Type that the value must have, in the notation of type annotations.
    """
    try:
        value = unsealed(read_json(path, dict[str, Any], ""))
        return None if value is None else checked(value, shape)
    except (DamagedFileError, ValueError):
        return None


def once(record: Path, work: Callable[[], T], shape: Any) -> T:
    """Return the result stored in `record`.

    If there is none, or the record is damaged, do the work and store its result.

    Args:
        record: Path of the record.
        work: Does the work and returns its result, which becomes a JSON object.
        shape: Type of the result, in the notation of type annotations.
    """
    known: T | None = read_record(record, shape)
    if known is not None:
        return known
    result = work()
    write_record(record, as_json(result, shape))
    return result


def list_files(folder: Path, without: Collection[str] = ()) -> dict[str, str]:
    """Return the sha256 of each file in a folder and its subfolders, by relative path.

    Args:
        folder: The folder.
        without: Names of files to leave out.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in paths if path.name not in without]
    digests = _digests(kept)
    return {str(path.relative_to(folder)): d for path, d in zip(kept, digests, strict=True)}


def first_fault(folder: Path, files: Mapping[str, str]) -> str | None:
    """Read all files of a folder; return in a few words what is wrong with one of them, if any.

    Args:
        folder: The folder.
        files: The sha256 that each file should have, by relative path.

    Returns:
        For example `model.safetensors is damaged`; None if all files are intact.
    """
    try:
        for name in files:
            if not (folder / name).is_file():
                return f"{name} is missing"
        digests = _digests([folder / name for name in files])
    except OSError as error:
        return f"{error.filename or 'a file'} cannot be read ({error.strerror or error})"
    for (name, expected), found in zip(files.items(), digests, strict=True):
        if found != expected:
            return f"{name} is damaged"
    return None


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a memory-mapped Parquet file whose pages are verified as they are read.

    A damaged page raises an `OSError` when it is read.
    """
    return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a table from a Parquet file, after verifying its pages.

    Raises:
        OSError: The file is missing or damaged.
    """
    return pq.read_table(path, columns=columns, page_checksum_verification=True)


def _digests(paths: Iterable[Path]) -> list[str]:
    """Return the sha256 of each file, in order; several files are read at the same time."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return [*pool.map(file_digest, paths)]
