"""The first pass of ingestion: turn pieces of files into clean documents with hashes.

A piece is a byte range of a file. The documents of each shard, a list of pieces, are written to one
Arrow file, together with the hashes by which later passes find duplicates and assign splits. An
Arrow file holds columns as they are in memory, so the later passes map it instead of decoding it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import TypedDict

from rnnlm.checksums import once
from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import duplicates
from rnnlm.corpora.byte_ranges import Piece
from rnnlm.corpora.hashing import content_hashes
from rnnlm.corpora.reading import Counts, Document, read_documents
from rnnlm.corpora.splitting import SPLITS
from rnnlm.storage import atomic_path

ROWS_AT_ONCE = 20_000
BYTES_AT_ONCE = 8_000_000
"""Limits on the documents that are held in memory and written together: at most `ROWS_AT_ONCE`
documents, of about `BYTES_AT_ONCE` characters in total."""

UNDECIDED = -1
"""Value of the column `split` for a document whose split a later pass decides."""

READING_SCHEMA = pa.schema(
    [
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("attributes", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("split", pa.int8(), nullable=False),
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        *(
            pa.field(f"band_{band:02d}", pa.binary(4 * duplicates.BAND_WIDTH))
            for band in range(duplicates.BANDS)
        ),
    ]
)


@dataclass(frozen=True)
class ReadTask:
    """A shard to read.

    Attributes:
        pieces: Pieces of files that belong to the shard.
        config: Configuration of the corpus.
        splits: How documents are assigned to splits.
        out: Path of the Arrow file to write.
    """

    pieces: list[Piece]
    config: CorpusConfig
    splits: SplitConfig
    out: Path


def size_of(piece: Piece) -> int:
    """Return the size of a piece in bytes; for Parquet, the size of the whole file."""
    return piece.file.size if piece.is_whole or not piece.encoding else piece.end - piece.start


class ReadShard(TypedDict):
    """The number of documents of a shard as `rows`, and the attributes of `Counts` by name."""

    rows: int
    dropped: dict[str, int]
    cleaned: dict[str, int]
    encodings: dict[str, int]
    documents: dict[str, int]
    examples: dict[str, list[str]]


def read_shard(task: ReadTask, tell: Callable[[float], None] | None = None) -> ReadShard:
    """Read the pieces of a shard, and write their clean documents to `task.out`.

    If the shard has been read before, only the recorded counts are returned.

    Args:
        task: Shard to read.
        tell: Called after each piece with its size in bytes.

    Returns:
        The number of documents as `rows`, and the attributes of `Counts` by name.

    Raises:
        CorpusError: A record cannot be used and `corpus.bad_records` is not `skip`.
        StorageError: The shard cannot be written.
    """
    return once(task.out.with_suffix(".arrow.json"), lambda: _read(task, tell), ReadShard)


def _read(task: ReadTask, tell: Callable[[float], None] | None) -> ReadShard:
    counts, rows = Counts(), 0
    with (
        atomic_path(task.out) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, READING_SCHEMA) as writer,
    ):
        for batch in _batches(_documents(task, counts, tell)):
            writer.write_table(_reading_table(batch, task.config, task.splits))
            rows += len(batch)
    return {
        "rows": rows,
        "dropped": counts.dropped,
        "cleaned": counts.cleaned,
        "encodings": counts.encodings,
        "documents": counts.documents,
        "examples": counts.examples,
    }


@contextmanager
def opened(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Map some columns of a file that `read_shard` wrote into memory.

    Args:
        path: Path of the file.
        columns: Names of the columns.

    Yields:
        A table, which must not be used after the context is left.
    """
    numbers = [READING_SCHEMA.get_field_index(name) for name in columns]
    options = pa.ipc.IpcReadOptions(included_fields=numbers, use_threads=False)
    with pa.memory_map(str(path)) as source:
        yield pa.ipc.open_file(source, options=options).read_all()


def _documents(
    task: ReadTask, counts: Counts, tell: Callable[[float], None] | None
) -> Iterator[Document]:
    for piece in task.pieces:
        yield from read_documents(piece, task.config, task.splits, counts)
        if tell:
            tell(size_of(piece))


def _reading_table(
    batch: Sequence[Document], config: CorpusConfig, splits: SplitConfig
) -> pa.Table:
    texts = [document.text for document in batch]
    column = pa.array(texts, pa.large_string())
    hashes = keys = content_hashes(column)
    if splits.key:
        values = [_key(document, splits.key) for document in batch]
        keys = content_hashes(pa.array(values, pa.large_string()))
    columns: dict[str, Any] = {
        "text": column,
        "attributes": [[*d.attributes.items()] if d.attributes else () for d in batch],
        "split": [SPLITS.index(d.split) if d.split else UNDECIDED for d in batch],
        "hash": hashes,
        "key": keys,
    }
    is_long = np.array([len(text) >= duplicates.SHORTEST for text in texts])
    if not config.clean.near_duplicates:
        is_long[:] = False
    signed = duplicates.signatures(column.filter(pa.array(is_long)))
    cells = np.zeros((duplicates.BANDS, len(texts), duplicates.BAND_WIDTH), dtype=np.uint32)
    parts = signed.reshape(len(signed), duplicates.BANDS, duplicates.BAND_WIDTH)
    cells[:, is_long] = parts.transpose(1, 0, 2)
    validity = pa.array(is_long).buffers()[1]  # booleans and validity are both bitmaps
    for band in range(duplicates.BANDS):
        buffers = [validity, pa.py_buffer(cells[band])]
        column = pa.Array.from_buffers(pa.binary(4 * duplicates.BAND_WIDTH), len(texts), buffers)
        columns[f"band_{band:02d}"] = column
    return pa.table(columns, schema=READING_SCHEMA)


def _key(document: Document, name: str) -> str:
    """Return a document's value of the attribute `name`, in lower case and with single spaces.

    Documents with the same value are assigned to the same split.
    """
    return " ".join(document.attributes.get(name, "").lower().split())


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Group documents into lists, whose size `ROWS_AT_ONCE` and `BYTES_AT_ONCE` limit."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if len(batch) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
