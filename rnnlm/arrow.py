"""Convert between Python, numpy and Arrow, without importing pandas.

pyarrow's own conversions import pandas if it is installed. Importing pandas takes longer than
sampling most texts.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def binaries(values: Iterable[bytes]) -> pa.Array:
    """Return an Arrow array of large binaries."""
    held = [*values]
    offsets = np.cumsum([0, *map(len, held)], dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(held))]
    return pa.Array.from_buffers(pa.large_binary(), len(held), buffers)


def strings(values: Iterable[str]) -> pa.Array:
    """Return an Arrow array of large strings."""
    return binaries(value.encode() for value in values).cast(pa.large_string())


def integers(values: NDArray[np.int64] | NDArray[np.int32]) -> pa.Array:
    """Return an Arrow array of 64-bit or 32-bit integers, which shares the memory of `values`."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    kind = pa.int32() if values.dtype == np.int32 else pa.int64()
    return pa.Array.from_buffers(kind, len(values), buffers)


def numbers(column: pa.Array) -> NDArray[Any]:
    """Return an Arrow array of numbers as a numpy array, which must not be written to.

    The Arrow array must have no nulls.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    found: NDArray[Any] = np.from_dlpack(whole)
    return found
