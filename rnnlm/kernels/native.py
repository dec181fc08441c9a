"""Find and load the native code in C, which setuptools builds once per kind of processor.

Each build is a plain shared library for one instruction set, such as AVX2; setup.py lists them. The
build `portable` runs on any processor. A build is called through ctypes, with the addresses of
arrays. If the package was installed without a C compiler, there are no builds, and plain torch code
is used.

Nothing here needs torch, so that a program that only samples starts without it.
"""

import math
from ctypes import CDLL
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

COLUMNS = 64
"""Number of columns in a block of a packed matrix (see `blocks`), as in `products.h`."""
LINE = 64
"""Bytes of a cache line."""
SETS = ("avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx", "neon_dotprod", "neon_bf16")
"""Instruction sets of x86 and ARM that there may be a build for, slowest first, as in
`processor.c`."""
PORTABLE = "portable"
"""Name of the build for any processor of an architecture: with SSE2 on x86, with NEON on ARM."""


def native_available() -> bool:
    """Return whether there is a build of the native code that this processor can run."""
    return library() is not None


@cache
def library() -> CDLL | None:
    """Return the fastest build that exists and that this processor can run; None without one."""
    found = names()
    return load(found[0]) if found else None


def names() -> list[str]:
    """Return the names of the builds that exist and that this processor can run, fastest first."""
    if _path("processor") is None:
        return []
    supported = load("processor").supported_sets()
    usable = [name for place, name in enumerate(SETS) if supported >> place & 1]
    return [name for name in (*reversed(usable), PORTABLE) if _path(name)]


@cache
def load(name: str) -> CDLL:
    """Load the build with this name, such as `avx2`, as a shared library."""
    return CDLL(str(_path(name)))


def _path(name: str) -> Path | None:
    paths = (Path(__file__).with_name(f"_{name}{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def padded(columns: int) -> int:
    """Return a number of columns rounded up to a multiple of `COLUMNS`, as in `recurrence.c`."""
    return columns + -columns % COLUMNS


def blocks(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the right factor of a matrix product in the layout that `products.h` reads.

    The columns are padded with zeros and split into blocks of `COLUMNS`. Numbers are grouped into
    32-bit words, each with 4 / itemsize consecutive numbers of one column.

    Args:
        matrix: The factor, shape (depth, columns), of 32-bit floats (one number in a word), the
            bits of bfloat16 numbers as uint16 (two) or int8 (four). The depth must be a multiple of
            the number of numbers in a word.

    Returns:
        The packed matrix, of shape (blocks, depth in words, COLUMNS, numbers in a word).
    """
    depth, columns = matrix.shape
    numbers = 4 // matrix.itemsize
    whole = np.pad(matrix, ((0, 0), (0, padded(columns) - columns)))
    words = whole.reshape(depth // numbers, numbers, -1, COLUMNS)
    laid_out = words.transpose(2, 0, 3, 1)
    packed = aligned(laid_out.shape, laid_out.dtype)
    packed[...] = laid_out
    return packed


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return a new array of zeros that begins at a cache line.

    Vectors of 64 bytes are read from it without crossing into a second line.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)
