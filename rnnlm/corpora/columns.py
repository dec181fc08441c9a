"""Read records from Parquet files, which may be damaged or have odd columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rnnlm.config import shorten
from rnnlm.corpora.records import Fields
from rnnlm.errors import CorpusError

MOST_COLUMNS = 10_000
_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    pa.ArrowException,
)
"""Errors of reading a damaged file, or a value that Python cannot represent."""


def row_group_sizes(path: Path, name: str) -> list[int]:
    """Return the size in bytes of each row group of a Parquet file.

    Args:
        path: Local path.
        name: Name of the file, for error messages.

    Raises:
        CorpusError: The file cannot be read, or its columns cannot become fields of records.
    """
    try:
        metadata = _open(path, name).metadata
        groups = range(metadata.num_row_groups)
        return [max(0, metadata.row_group(group).total_byte_size) for group in groups]
    except _FAULTS as error:
        raise _refusal(name, error) from error


def read_rows(
    path: Path, name: str, at_once: int, row_groups: Sequence[int] | None = None
) -> Iterator[Fields]:
    """Yield the rows of a Parquet file as records, whose fields are named after its columns.

    Args:
        path: Local path.
        name: Name of the file, for error messages.
        at_once: Number of rows to hold in memory at a time.
        row_groups: Indices of the row groups to read; None for all.

    Raises:
        CorpusError: The file cannot be read, or its columns cannot become fields of records.
    """
    try:
        for batch in _open(path, name).iter_batches(at_once, row_groups=_listed(row_groups)):
            yield from batch.to_pylist()
    except _FAULTS as error:
        raise _refusal(name, error) from error


def column_size(file: pq.ParquetFile, group: int, column: str) -> int:
    """Return the size in bytes of a column of a row group, before compression.

    One row is read first. If the description of the column is damaged, reading the row raises an
    error, whereas Arrow aborts the whole process if it is asked for the description itself.

    Raises:
        ArrowException: The row group cannot be read.
        OSError: The row group cannot be read.
    """
    next(file.iter_batches(1, [group], [column], use_threads=False), None)
    number = file.schema_arrow.names.index(column)
    return int(file.metadata.row_group(group).column(number).total_uncompressed_size)


def _listed(row_groups: Sequence[int] | None) -> list[int] | None:
    return None if row_groups is None else [*row_groups]


def _open(path: Path, name: str) -> pq.ParquetFile:
    file = pq.ParquetFile(path)
    columns = file.schema_arrow.names
    repeated = next((name for name, times in Counter(columns).items() if times > 1), None)
    if len(columns) > MOST_COLUMNS or repeated is not None:
        found = f"{len(columns):,} columns"
        if repeated is not None:
            found = f"several columns named {shorten(repeated)}"
        raise CorpusError(
            f"{name} has {found} (expected at most {MOST_COLUMNS:,}, each with its own name); "
            "write the file again with other columns"
        )
    return file


def _refusal(name: str, error: BaseException) -> CorpusError:
    why = shorten(str(error) or type(error).__name__, 160)
    return CorpusError(f"{name} is not a complete Parquet file ({why}); write it again")
