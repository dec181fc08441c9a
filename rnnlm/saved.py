"""Read the files that this program writes, which may be damaged, or come from somebody else.

Each is read through a schema, and within a limit on its size. So a bad file leads to one error that
names the file, what is wrong with it and what to do, never to a traceback or a huge allocation.
"""

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from rnnlm.config import shorten
from rnnlm.errors import DamagedFileError

MEND = "it will be made again"
"""What to say about a file that the same command can make again."""

MOST_LINE_BYTES = 16_000_000
"""Most bytes of a line of a file of JSON lines."""
MOST_JSON_BYTES = 256_000_000
"""Most bytes of a JSON file that is read into memory."""


def read_json(path: Path, shape: Any, mend: str) -> Any:
    """Return the value in a JSON file, after checking its shape.

    Args:
        path: The file.
        shape: Type that the value must have, in the notation of type annotations.
        mend: What the user can do about a damaged file.

    Raises:
        DamagedFileError: The file is missing, too large, not JSON, or of another shape.
    """
    try:
        size = path.stat().st_size
        if size > MOST_JSON_BYTES:
            found = f"has {size:,} bytes (expected at most {MOST_JSON_BYTES:,})"
            raise DamagedFileError(f"{path} {found}; {mend}")
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"cannot read {path}: {error.strerror}; {mend}") from error
    try:
        return parse_json(content, shape)
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged: {error}; {mend}") from error


def read_lines(path: Path, shape: Any) -> list[Any]:
    """Return the values of a file of JSON lines; an empty list if there is no file.

    Values from the first damaged line on are left out: a full disk or a power cut may have cut the
    line short.

    Args:
        path: The file.
        shape: Type of each value, in the notation of type annotations.
    """
    values: list[Any] = []
    try:
        with path.open("rb") as file:
            while line := file.readline(MOST_LINE_BYTES):
                values.append(parse_json(line, shape))
    except (OSError, ValueError):
        pass
    return values


def parse_json(content: bytes | str, shape: Any) -> Any:
    """Return the value of a JSON text, after checking its shape.

    Raises:
        ValueError: The text is not JSON, or of another shape; the message says in one line what was
            found.
    """
    try:
        return _adapter(shape).validate_json(content)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def checked(value: Any, shape: Any) -> Any:
    """Return a value converted to the type `shape`, after checking that it fits.

    Raises:
        ValueError: It has another shape; the message says in one line what was found.
    """
    try:
        return _adapter(shape).validate_python(value)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def first_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found, in one line."""
    fault = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, fault["loc"]))
    said = shorten(fault["msg"], 120)[1:].removesuffix("'").removesuffix('"')
    return f"{shorten(where, 80)} is wrong: {said}" if where else said


@lru_cache(maxsize=64)
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def as_json(value: Any, shape: Any) -> Any:
    """Return a value of the type `shape` in a form that `json` can write."""
    return _adapter(shape).dump_python(value, mode="json")


def read_array(path: Path, mend: str, *, mapped: bool = False) -> NDArray[Any]:
    """Return the array in a `.npy` file, after checking that its header fits the file's size.

    Args:
        path: The file.
        mend: What the user can do about a damaged file.
        mapped: Whether to map the file into memory instead of reading it.

    Raises:
        DamagedFileError: The file is missing, cut short, or not an array of numbers.
    """
    try:
        with path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            read = {
                1: np.lib.format.read_array_header_1_0,
                2: np.lib.format.read_array_header_2_0,
            }[major]
            shape, _, kind = read(file)
            wanted, found = _bytes_of(shape, kind), path.stat().st_size - file.tell()
        if wanted != found:
            raise ValueError(f"{found:,} bytes of numbers, expected {wanted:,}")  # noqa: TRY301
        array: NDArray[Any] = np.load(
            path, mmap_mode="r" if mapped and wanted else None, allow_pickle=False
        )
    except Exception as error:  # numpy evaluates the header, which may raise anything
        raise _damaged(path, error, mend) from error
    return array


def read_arrays(path: Path, names: tuple[str, ...], mend: str) -> list[NDArray[Any]]:
    """Return some arrays of an uncompressed `.npz` file.

    Raises:
        DamagedFileError: The file is missing, damaged or compressed, or lacks an array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist()):
                raise ValueError("it is compressed")  # noqa: TRY301
            if sum(m.file_size for m in archive.infolist()) > path.stat().st_size:
                raise ValueError("its sizes are wrong")  # noqa: TRY301
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names]
    except Exception as error:  # numpy evaluates the headers, which may raise anything
        raise _damaged(path, error, mend) from error


def _bytes_of(shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    if kind.hasobject or any(length < 0 for length in shape):
        raise ValueError("it is not an array of numbers")
    size = kind.itemsize
    for length in shape:
        size *= length
    return size


def _damaged(path: Path, error: Exception, mend: str) -> DamagedFileError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DamagedFileError(f"{path} is damaged: {shorten(why, 120)[1:-1]}; {mend}")
