"""The first step: a corpus becomes clean documents in splits, in Parquet shards.

Three passes. Pieces of files are read, in parallel, into `reading/`; repetitions and near copies
are found over all of them by their hashes alone; then, in parallel, what stays is written to
`documents-*.parquet`, each document with its split. A shard that is there is never made again, so
a run that was killed goes on where it stopped.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import duplicates
from rnnlm.corpora.files import SourceFile, unpack
from rnnlm.corpora.pieces import Piece, cut_files
from rnnlm.corpora.reading import Counts, Document, read_documents
from rnnlm.corpora.splitting import (
    SPLITS,
    Split,
    content_hash,
    split_by_hash,
    split_by_shuffle,
)
from rnnlm.errors import CorpusError, EmptySplitError
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path, write_json

SHARD_PATTERN = "documents-*.parquet"
DOCUMENTS_SCHEMA = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("attributes", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)
ROWS_AT_ONCE = 20_000
BYTES_AT_ONCE = 8_000_000
"""Most documents, and about the most text, that are held and written together."""

BATCH_BYTES = 1 << 20
"""About the text of a batch that is read back: small enough to stay in a processor's cache."""

_SPLIT_COLUMN, _TEXT_COLUMN = 1, 2
_UNDECIDED = -1
_READING_SCHEMA = pa.schema(
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


class Corpus(BaseModel):
    """What ingestion made.

    Attributes:
        uri: Folder that holds the shards.
        digest: sha256 over every document and its split, in order.
        documents: Documents per split.
        characters: Characters per split.
        bytes: UTF-8 bytes per split.
        dropped: Records and documents left out, by reason.
        cleaned: What was mended and removed, how often.
        encodings: Files by the encoding they were in.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    documents: dict[str, int]
    characters: dict[str, int]
    bytes: dict[str, int]
    dropped: dict[str, int]
    cleaned: dict[str, int]
    encodings: dict[str, int]


def ingest(
    files: Sequence[SourceFile],
    config: CorpusConfig,
    splits: SplitConfig,
    out: Path,
    on_progress: OnProgress = silent,
    executor: Executor | None = None,
) -> Corpus:
    """Read files, clean them, cut them into documents, split these, and write the shards.

    Args:
        files: What `files.locate` found.
        config: How they are read and cleaned, and what a document is.
        splits: What is held out.
        out: Folder to write to; made if need be. Shards found there are kept.
        on_progress: Told the bytes done; the second half is writing.
        executor: Runs the shards; one after the other if None. The result does not depend on it.

    Raises:
        CorpusError: A file or record cannot be used, or a file changed meanwhile.
        EmptySplitError: A split got no document.
        StorageError: The result cannot be written.
    """
    plain = [*unpack(files, out / "unpacked")]
    pieces = cut_files(plain, config, whole=splits.by == "position")
    reading = [
        _ReadTask(shard, config, splits, out / "reading" / f"{number:05d}.parquet")
        for number, shard in enumerate(pieces)
    ]
    size = sum(file.size for file in plain)
    tell = _Teller(on_progress, 2 * size)
    counts: dict[int, dict[str, Any]] = {}
    read = _read_shard if executor else partial(_read_shard, tell=tell)
    for number, result in run_all(executor, read, reading):
        counts[number] = result
        if executor:
            tell(sum(map(_size, reading[number].pieces)))
    for file in files:
        file.check_unchanged()
    rows = [counts[number]["rows"] for number in range(len(reading))]
    if not sum(rows):
        raise CorpusError(_nothing_in(files, counts.values()))
    decisions = _decide([task.out for task in reading], rows, config, splits)
    writing = [
        _WriteTask(task.out, decision, splits, out / f"documents-{number:05d}.parquet")
        for number, (task, decision) in enumerate(zip(reading, decisions, strict=True))
    ]
    written: dict[int, dict[str, Any]] = {}
    for number, result in run_all(executor, _write_shard, writing):
        written[number] = result
        tell(size / len(writing))
    documents = _summed(written.values(), "documents")
    _check_splits(documents, files)
    dropped = _summed(counts.values(), "dropped")
    for decision in decisions:
        dropped.update(decision.dropped)
    digests = "".join(written[number]["digest"] for number in range(len(writing)))
    shutil.rmtree(out / "reading")
    shutil.rmtree(out / "unpacked", ignore_errors=True)
    return Corpus(
        uri=str(out),
        digest=hashlib.sha256(digests.encode()).hexdigest(),
        documents={split: documents[split] for split in SPLITS},
        characters=_in_splits(_summed(written.values(), "characters")),
        bytes=_in_splits(_summed(written.values(), "bytes")),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
        cleaned={
            what: count
            for what, count in sorted(_summed(counts.values(), "cleaned").items())
            if count
        },
        encodings=dict(sorted(_summed(counts.values(), "encodings").items())),
    )


def shards(uri: str) -> list[Path]:
    """Return the shards of documents in a folder, in order.

    Raises:
        CorpusError: There are none.
    """
    found = sorted(Path(uri).glob(SHARD_PATTERN))
    if not found:
        raise CorpusError(f"no {SHARD_PATTERN} in {uri}; run `rnnlm train` on the corpus again")
    return found


def iter_batches(shard: Path, splits: Collection[Split]) -> Iterator[tuple[Split, pa.RecordBatch]]:
    """Yield (split, documents of it) of a shard, about a megabyte of text at a time, in order.

    A row group holds documents of one split, so what is not asked for is not read.
    """
    file = pq.ParquetFile(shard, memory_map=True)
    for group in range(file.metadata.num_row_groups):
        metadata = file.metadata.row_group(group)
        split: Split = metadata.column(_SPLIT_COLUMN).statistics.min
        if split not in splits:
            continue
        size = metadata.column(_TEXT_COLUMN).total_uncompressed_size
        rows = max(1, metadata.num_rows * BATCH_BYTES // max(1, size))
        columns = ["document_id", "text", "characters", "bytes"]
        for batch in file.iter_batches(rows, [group], columns, use_threads=False):
            yield split, batch


def iter_texts(uri: str, split: Split) -> Iterator[str]:
    """Yield the texts of a split's documents, in corpus order, a few held at a time.

    Raises:
        CorpusError: `uri` holds no documents.
    """
    for shard in shards(uri):
        for _, batch in iter_batches(shard, (split,)):
            yield from batch["text"].to_pylist()


@dataclass(frozen=True)
class _ReadTask:
    pieces: list[Piece]
    config: CorpusConfig
    splits: SplitConfig
    out: Path


class _Teller:
    """Adds up bytes and reports them; half of all is reading, half is writing."""

    def __init__(self, on_progress: OnProgress, total: float) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0.0

    def __call__(self, size: float) -> None:
        self._done += size
        self._on_progress(Progress(min(self._done, self._total), self._total, "bytes"))


def _size(piece: Piece) -> int:
    return piece.file.size if piece.is_whole or not piece.encoding else piece.end - piece.start


def _read_shard(task: _ReadTask, tell: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Read, clean and cut the pieces of a shard; return what was counted."""
    record = task.out.with_suffix(".json")
    if record.is_file() and task.out.is_file():
        known: dict[str, Any] = json.loads(record.read_text("utf-8"))
        return known
    counts, rows = Counts(), 0
    with (
        atomic_path(task.out) as temporary,
        pq.ParquetWriter(temporary, _READING_SCHEMA, compression="lz4") as writer,
    ):
        for batch in _batches(_documents(task, counts, tell)):
            writer.write_table(_reading_table(batch, task.config, task.splits))
            rows += len(batch)
    result = {
        "rows": rows,
        "dropped": counts.dropped,
        "cleaned": counts.cleaned,
        "encodings": counts.encodings,
    }
    write_json(record, result)
    return result


def _documents(
    task: _ReadTask, counts: Counts, tell: Callable[[float], None] | None
) -> Iterator[Document]:
    for piece in task.pieces:
        yield from read_documents(piece, task.config, task.splits, counts)
        if tell:
            tell(_size(piece))


def _reading_table(
    batch: Sequence[Document], config: CorpusConfig, splits: SplitConfig
) -> pa.Table:
    texts = [document.text for document in batch]
    hashes = [content_hash(text) for text in texts]
    keys = hashes
    if splits.key:
        keys = [content_hash(_key(document, splits.key)) for document in batch]
    columns: dict[str, Any] = {
        "text": texts,
        "attributes": [[*document.attributes.items()] for document in batch],
        "split": [SPLITS.index(d.split) if d.split else _UNDECIDED for d in batch],
        "hash": hashes,
        "key": keys,
    }
    is_long = np.array([len(text) >= duplicates.SHORTEST for text in texts])
    if not config.clean.near_duplicates:
        is_long[:] = False
    signed = duplicates.signatures([t for t, long in zip(texts, is_long, strict=True) if long])
    cells = np.zeros((duplicates.BANDS, len(texts), duplicates.BAND_WIDTH), dtype=np.uint32)
    parts = signed.reshape(len(signed), duplicates.BANDS, duplicates.BAND_WIDTH)
    cells[:, is_long] = parts.transpose(1, 0, 2)
    validity = pa.array(is_long).buffers()[1]  # both are bitmaps
    for band in range(duplicates.BANDS):
        buffers = [validity, pa.py_buffer(cells[band])]
        column = pa.Array.from_buffers(pa.binary(4 * duplicates.BAND_WIDTH), len(texts), buffers)
        columns[f"band_{band:02d}"] = column
    return pa.table(columns, schema=_READING_SCHEMA)


def _key(document: Document, name: str) -> str:
    """Return the attribute that decides a split; case and spacing make no difference."""
    return " ".join(document.attributes.get(name, "").lower().split())


@dataclass(frozen=True)
class _Decision:
    """What becomes of a shard's documents.

    Attributes:
        keep: Shape (documents,).
        splits: Number of each document's split in `SPLITS`, or -1: its key decides; shape
            (documents,).
        ordinals: For documents that are kept though they stood before: the how-maniest they are.
        dropped: Documents left out, by reason.
    """

    keep: NDArray[np.bool_]
    splits: NDArray[np.int8]
    ordinals: Mapping[int, int]
    dropped: Mapping[str, int]


def _decide(
    paths: Sequence[Path], rows: Sequence[int], config: CorpusConfig, splits: SplitConfig
) -> list[_Decision]:
    """Decide over the whole corpus what is dropped and what is in which split."""
    count = sum(rows)
    is_repeated, ordinals = duplicates.repeated(lambda: _column(paths, "hash"), count)
    is_near = np.zeros(count, dtype=np.bool_)
    if config.clean.near_duplicates:
        is_long = np.concatenate([*_has_signature(paths)])
        numbers = np.flatnonzero(is_long)
        is_near[numbers] = duplicates.near_duplicates(
            lambda band: _band(paths, band), len(numbers), config.clean.near_duplicates
        )
    is_dropped = is_repeated & (config.clean.repeated == "drop")
    is_near &= ~is_repeated
    keep = ~(is_dropped | is_near)
    assigned = np.full(count, _UNDECIDED, dtype=np.int8)
    if splits.by == "shuffle":
        assigned[keep] = split_by_shuffle(int(keep.sum()), splits)
    ends = np.cumsum([0, *rows]).tolist()
    decisions = []
    for start, end in pairwise(ends):
        again = np.flatnonzero(is_repeated[start:end] & keep[start:end]).tolist()
        kept_ordinals = {number: ordinals[start + number] for number in again}
        decisions.append(
            _Decision(
                keep=keep[start:end],
                splits=assigned[start:end],
                ordinals=kept_ordinals,
                dropped={
                    "repeated": int(is_dropped[start:end].sum()),
                    "near copy": int(is_near[start:end].sum()),
                },
            )
        )
    return decisions


@dataclass(frozen=True)
class _WriteTask:
    reading: Path
    decision: _Decision
    splits: SplitConfig
    out: Path


def _write_shard(task: _WriteTask) -> dict[str, Any]:
    """Write the documents that stay, each with its split; return counts and digest."""
    digest = hashlib.sha256()
    sums: dict[str, Counter[str]] = {n: Counter() for n in ("documents", "characters", "bytes")}
    done = 0
    with (
        atomic_path(task.out) as temporary,
        pq.ParquetWriter(
            temporary, DOCUMENTS_SCHEMA, compression="lz4", use_dictionary=["split"]
        ) as writer,
    ):
        columns = ["text", "attributes", "split", "hash", "key"]
        for batch in pq.ParquetFile(task.reading).iter_batches(ROWS_AT_ONCE, columns=columns):
            table = _documents_table(batch, task, done)
            done += batch.num_rows
            _count(table, sums, digest)
            for split in SPLITS:  # a row group holds documents of one split
                part = table.filter(pa.compute.equal(table["split"], split))
                if part.num_rows:
                    writer.write_table(part)
    return {name: dict(counter) for name, counter in sums.items()} | {"digest": digest.hexdigest()}


def _documents_table(batch: pa.RecordBatch, task: _WriteTask, start: int) -> pa.Table:
    decision = task.decision
    stop = start + batch.num_rows
    known = batch["split"].to_numpy()
    assigned = decision.splits[start:stop]
    codes = np.where(known >= 0, known, assigned)
    by_key = split_by_hash(batch["key"].to_numpy(), task.splits)
    codes = np.where(codes >= 0, codes, by_key)
    numbers = np.flatnonzero(decision.keep[start:stop])
    hashes = batch["hash"].to_numpy()[numbers]
    ids = []
    for value, number in zip(hashes.tolist(), numbers.tolist(), strict=True):
        ordinal = decision.ordinals.get(start + number)
        ids.append(f"{value:016x}-{ordinal}" if ordinal else f"{value:016x}")
    kept = batch.take(pa.array(numbers))
    texts = kept["text"]
    names = pa.DictionaryArray.from_arrays(pa.array(codes[numbers]), pa.array(SPLITS))
    return pa.table(
        {
            "document_id": pa.array(ids, pa.string()),
            "split": names.cast(pa.string()),
            "text": texts,
            "characters": pa.compute.utf8_length(texts).cast(pa.int64()),
            "bytes": pa.compute.binary_length(texts).cast(pa.int64()),
            "attributes": kept["attributes"],
        },
        schema=DOCUMENTS_SCHEMA,
    )


def _count(table: pa.Table, sums: dict[str, Counter[str]], digest: "hashlib._Hash") -> None:
    groups = table.group_by("split").aggregate(
        [("characters", "sum"), ("bytes", "sum"), ("split", "count")]
    )
    for row in groups.to_pylist():
        sums["documents"][row["split"]] += row["split_count"]
        sums["characters"][row["split"]] += row["characters_sum"]
        sums["bytes"][row["split"]] += row["bytes_sum"]
    for name in ("split", "text"):
        column = table.column(name).combine_chunks()
        joined = pa.compute.binary_join_element_wise(
            column.cast(pa.large_binary()), pa.scalar(b"", pa.large_binary()),
            pa.scalar(b"\0", pa.large_binary()),
        )  # fmt: skip
        digest.update(b"".join(chunk for chunk in _data(joined)))


def _data(column: Any) -> Iterator[memoryview]:
    """Yield the bytes of a binary column, end to end."""
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if len(chunk):
            offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int64)
            first, last = offsets[chunk.offset], offsets[chunk.offset + len(chunk)]
            yield memoryview(chunk.buffers()[2])[first:last]


def _column(paths: Sequence[Path], name: str) -> Iterator[NDArray[Any]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=[name]):
            yield batch[name].to_numpy()


def _has_signature(paths: Sequence[Path]) -> Iterator[NDArray[np.bool_]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=["band_00"]):
            yield batch["band_00"].is_valid().to_numpy(zero_copy_only=False)


def _band(paths: Sequence[Path], band: int) -> NDArray[np.uint32]:
    """Return one band of all signatures, shape (signatures, BAND_WIDTH)."""
    parts = [np.zeros(0, dtype=np.uint32)]
    name = f"band_{band:02d}"
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=[name]):
            cells = pa.compute.drop_null(batch[name])
            start = cells.offset * duplicates.BAND_WIDTH
            values = np.frombuffer(cells.buffers()[1] or b"", dtype=np.uint32)[start:]
            parts.append(values[: len(cells) * duplicates.BAND_WIDTH])
    return np.concatenate(parts).reshape(-1, duplicates.BAND_WIDTH)


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Gather documents up to so many or so much text."""
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


def _summed(results: Any, name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for result in results:
        total.update(result[name])
    return total


def _in_splits(counter: Counter[str]) -> dict[str, int]:
    return {split: counter[split] for split in SPLITS}


def _nothing_in(files: Sequence[SourceFile], counts: Any) -> str:
    dropped = _summed(counts, "dropped")
    why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    names = ", ".join(file.name for file in files[:3])
    return (
        f"{names}: no document is left ({why or 'no text'}; expected text); nothing to learn from"
    )


def _check_splits(documents: Counter[str], files: Sequence[SourceFile]) -> None:
    names = ", ".join(file.name for file in files[:2])
    for split in SPLITS:
        if not documents[split]:
            raise EmptySplitError(
                f"no document of {names} fell into the {split} split "
                f"({sum(documents.values())} documents in all); give more text, smaller documents "
                "or larger shares, such as --set splits.validation=0.2 --set splits.test=0.2"
            )
