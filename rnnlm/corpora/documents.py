"""Document shards: Parquet files `documents-*.parquet`, each with some documents of a corpus.

The third pass of ingestion writes them; all later stages read them.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from typing_extensions import TypedDict

from rnnlm.arrow import binaries
from rnnlm.checksums import PAGE_CHECKSUMS, once, open_parquet
from rnnlm.config import SplitConfig, shorten
from rnnlm.corpora.columns import column_size
from rnnlm.corpora.dedup_pass import NEAR_COPY, REPEATED, Decision
from rnnlm.corpora.phrases import with_phrases
from rnnlm.corpora.reading import MOST_EXAMPLES
from rnnlm.corpora.reading_pass import ROWS_AT_ONCE, opened
from rnnlm.corpora.splitting import SPLITS, Split, split_by_hash
from rnnlm.errors import CorpusError
from rnnlm.storage import atomic_path

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
BATCH_BYTES = 1 << 20
"""Approximate bytes of text that are read at a time: few enough to stay in a processor's cache."""

ROWS_TO_DIGEST = 500
"""Number of texts that are joined at a time to digest a shard: also few enough for the cache."""

MOST_RUNS = 100
"""Most runs of consecutive rows that are written as slices; the rows of more runs are copied."""

_NULL_BYTE = tuple(binaries([b"", b"\0"]))
"""Arguments with which `binary_join_element_wise` adds a null byte to each text."""
_FAULTS = (OSError, ValueError, StopIteration, pa.ArrowException)


def shards(uri: str) -> list[Path]:
    """Return the paths of the document shards in a folder, in order.

    Raises:
        CorpusError: The folder contains no document shards.
    """
    found = sorted(Path(uri).glob(SHARD_PATTERN))
    if not found:
        raise CorpusError(f"no {SHARD_PATTERN} in {uri}; run `rnnlm train` on the corpus again")
    return found


def text_bytes(paths: Iterable[Path], split: Split) -> int:
    """Return the approximate size of a split's texts in bytes, from the shards' metadata."""
    total = 0
    for path in paths:
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                for group in range(file.metadata.num_row_groups):
                    if _split_of(file, group) == split:
                        total += column_size(file, group, "text")
        except _FAULTS as error:
            raise CorpusError(_damaged(path, error)) from error
    return total


def _split_of(file: pq.ParquetFile, group: int) -> Split:
    """Return the split of a row group's documents."""
    first = next(file.iter_batches(1, [group], ["split"], use_threads=False))
    split: Split = first["split"][0].as_py()
    return split


def iter_batches(
    shard: Path, splits: Collection[Split], attributes: bool = False
) -> Iterator[tuple[Split, pa.RecordBatch]]:
    """Yield pairs of a split and a batch of its documents, in the order of a shard.

    Each batch holds about a megabyte of text.

    Args:
        shard: Path of the shard.
        splits: Splits to read. A row group of the file holds documents of one split, so the row
            groups of other splits are skipped.
        attributes: Whether to read the documents' attributes, too.

    Raises:
        CorpusError: The shard is missing or damaged.
    """
    try:
        file = open_parquet(shard)
        if not file.schema_arrow.equals(DOCUMENTS_SCHEMA):
            raise CorpusError(_damaged(shard, "it has other columns"))
        for group in range(file.metadata.num_row_groups):
            split = _split_of(file, group)
            if split not in splits:
                continue
            size = column_size(file, group, "text")
            rows = max(1, file.metadata.row_group(group).num_rows * BATCH_BYTES // max(1, size))
            columns = ["document_id", "text", "characters", "bytes"] + ["attributes"] * attributes
            for batch in file.iter_batches(rows, [group], columns, use_threads=False):
                batch.validate(full=True)  # the texts may not be UTF-8
                yield split, batch
    except _FAULTS as error:
        raise CorpusError(_damaged(shard, error)) from error


def _damaged(shard: Path, why: object) -> str:
    return f"{shard} is damaged: {shorten(str(why), 160)}; run `rnnlm train` on the corpus again"


def iter_texts(uri: str, split: Split) -> Iterator[str]:
    """Yield the texts of a split's documents in corpus order.

    Only one batch, about a megabyte of text, is in memory at a time.

    Raises:
        CorpusError: `uri` holds no documents.
    """
    for shard in shards(uri):
        for _, batch in iter_batches(shard, (split,)):
            yield from batch["text"].to_pylist()


def attribute_values(uri: str, name: str) -> set[str]:
    """Return the set of values that an attribute has in the training split.

    In the values, each run of white space is replaced with a single space.

    Raises:
        CorpusError: `uri` holds no documents.
    """
    found: set[str] = set()
    train: tuple[Split, ...] = ("train",)
    for shard in shards(uri):
        for _, batch in iter_batches(shard, train, attributes=True):
            values = pa.compute.map_lookup(batch["attributes"], name, "first").unique()
            found.update(" ".join(value.split()) for value in values.to_pylist() if value)
    return found


@dataclass(frozen=True)
class WriteTask:
    """A shard to write: what the first pass read, what the second decided, and the output path.

    Attributes:
        reading: Arrow file that the first pass wrote.
        decision: Decision of the second pass about the documents of that file.
        splits: How to assign a split to documents that have none yet.
        phrases: Share of the training documents for which a list of their phrases is added as
            another document.
        out: Path of the document shard to write.
    """

    reading: Path
    decision: Decision
    splits: SplitConfig
    phrases: float
    out: Path


class Written(TypedDict):
    """What a shard holds.

    Attributes:
        documents: Number of documents by split.
        characters: Number of characters by split.
        bytes: Number of UTF-8 bytes by split.
        digest: sha256 of the documents.
        examples: Examples of dropped documents by reason.
    """

    documents: dict[str, int]
    characters: dict[str, int]
    bytes: dict[str, int]
    digest: str
    examples: dict[str, list[str]]


def write_shard(task: WriteTask) -> Written:
    """Write the documents of a shard that are kept, each with its split.

    If the shard has been written before, only the recorded result is returned.

    Returns:
        Numbers of documents, characters and bytes by split, a digest of the documents, and examples
        of dropped documents.

    Raises:
        StorageError: The shard cannot be written.
    """
    return once(task.reading.with_suffix(".written.json"), lambda: _write(task), Written)


def _write(task: WriteTask) -> Written:
    digest = hashlib.sha256()
    sums: dict[str, Counter[str]] = {n: Counter() for n in ("documents", "characters", "bytes")}
    examples: dict[str, list[str]] = {}
    columns = ["text", "attributes", "split", "hash", "key"]
    with (
        atomic_path(task.out) as temporary,
        opened(task.reading, columns) as documents,
        pq.ParquetWriter(
            temporary,
            DOCUMENTS_SCHEMA,
            compression="lz4",
            use_dictionary=["split"],
            **PAGE_CHECKSUMS,
            write_statistics=["split"],
        ) as writer,
    ):
        for start in range(0, len(documents), ROWS_AT_ONCE):
            batch = documents[start : start + ROWS_AT_ONCE]
            _show_dropped(batch["text"], task.decision, start, examples)
            table = with_phrases(_documents_table(batch, task, start), task.phrases)
            _count(table, sums, digest)
            for split in SPLITS:  # a row group holds documents of one split
                part = _chosen(table, pa.compute.equal(table["split"], split).to_numpy())
                if part.num_rows:
                    writer.write_table(part)
    return {
        "documents": dict(sums["documents"]),
        "characters": dict(sums["characters"]),
        "bytes": dict(sums["bytes"]),
        "digest": digest.hexdigest(),
        "examples": examples,
    }


def _show_dropped(
    texts: pa.Array, decision: Decision, start: int, examples: dict[str, list[str]]
) -> None:
    """Add the beginning of the first few dropped documents to `examples`, by the reason.

    Args:
        texts: Texts of a batch of documents.
        decision: Which documents of the shard are kept.
        start: Index in the shard of the first document of the batch.
        examples: Examples by reason, at most `MOST_EXAMPLES` of each; updated.
    """
    stop = start + len(texts)
    for number in np.flatnonzero(~decision.keep[start:stop]).tolist():
        reason = REPEATED if decision.is_repeated[start + number] else NEAR_COPY
        shown = examples.setdefault(reason, [])
        if len(shown) < MOST_EXAMPLES:
            shown.append(shorten(texts[number].as_py(), 60))
        elif len(examples) == 2 and all(len(v) >= MOST_EXAMPLES for v in examples.values()):
            return


def _documents_table(batch: pa.Table, task: WriteTask, start: int) -> pa.Table:
    decision = task.decision
    stop = start + batch.num_rows
    known = batch["split"].to_numpy()
    assigned = decision.splits[start:stop]
    codes = np.where(known >= 0, known, assigned)
    by_key = split_by_hash(batch["key"].to_numpy(), task.splits)
    codes = np.where(codes >= 0, codes, by_key)
    is_kept = decision.keep[start:stop]
    numbers = np.flatnonzero(is_kept)
    ordinals = [decision.ordinals.get(start + number) for number in numbers.tolist()]
    ids = _document_ids(batch["hash"].to_numpy()[numbers], ordinals)
    texts = _chosen(batch.select(["text"]), is_kept)["text"]
    names = pa.DictionaryArray.from_arrays(pa.array(codes[numbers]), pa.array(SPLITS))
    return pa.table(
        {
            "document_id": ids,
            "split": names.cast(pa.string()),
            "text": texts,
            "characters": pa.compute.utf8_length(texts).cast(pa.int64()),
            "bytes": pa.compute.binary_length(texts).cast(pa.int64()),
            "attributes": batch["attributes"].combine_chunks().take(pa.array(numbers)),
        },
        schema=DOCUMENTS_SCHEMA,
    )


def _chosen(table: pa.Table, is_chosen: NDArray[np.bool_]) -> pa.Table:
    """Return some rows of a table; they are not copied if there are only a few runs of them."""
    runs = np.flatnonzero(np.diff(is_chosen, prepend=False, append=False)).reshape(-1, 2)
    if not 0 < len(runs) <= MOST_RUNS:
        return table.filter(pa.array(is_chosen))
    return pa.concat_tables([table[start:stop] for start, stop in runs.tolist()])


def _document_ids(hashes: NDArray[np.uint64], ordinals: Sequence[int | None]) -> pa.Array:
    """Return the documents' ids: 16 hexadecimal digits of the hash, such as `00c0ffee12345678`.

    If the document repeats an earlier one, the number of the occurrence follows, such as `-2`.
    """
    digits = hashes.astype(">u8").tobytes().hex()
    offsets = np.arange(0, len(digits) + 16, 16, dtype=np.int32)
    plain = pa.StringArray.from_buffers(
        len(hashes), pa.py_buffer(offsets), pa.py_buffer(digits.encode())
    )
    if not any(ordinals):
        return plain
    pairs = zip(plain.to_pylist(), ordinals, strict=True)
    return pa.array([f"{id_}-{ordinal}" if ordinal else id_ for id_, ordinal in pairs], pa.string())


def _count(table: pa.Table, sums: dict[str, Counter[str]], digest: "hashlib._Hash") -> None:
    groups = table.group_by("split").aggregate(
        [("characters", "sum"), ("bytes", "sum"), ("split", "count")]
    )
    for row in groups.to_pylist():
        sums["documents"][row["split"]] += row["split_count"]
        sums["characters"][row["split"]] += row["characters_sum"]
        sums["bytes"][row["split"]] += row["bytes_sum"]
    attributes = table["attributes"].combine_chunks()
    for column in (table["split"], table["text"], attributes.keys, attributes.items):
        _digest(column, digest)


def _digest(column: pa.ChunkedArray | pa.Array, digest: "hashlib._Hash") -> None:
    """Add the texts of a column to a digest, each followed by a null byte."""
    for start in range(0, len(column), ROWS_TO_DIGEST):
        part = column[start : start + ROWS_TO_DIGEST].cast(pa.large_binary())
        ended = pa.compute.binary_join_element_wise(part, *_NULL_BYTE)
        for chunk in ended.chunks if isinstance(ended, pa.ChunkedArray) else [ended]:
            offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int64)
            first, last = offsets[chunk.offset], offsets[chunk.offset + len(chunk)]
            digest.update(memoryview(chunk.buffers()[2])[first:last])
