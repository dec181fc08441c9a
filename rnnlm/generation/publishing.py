"""Write a shard of the data set: the texts that are kept, in order, and an audit record of them."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from rnnlm.audit.reference import FACTS_FILE, Reference
from rnnlm.audit.summary import ShardAudit, audit_shard
from rnnlm.checksums import PAGE_CHECKSUMS, read_parquet, read_record, write_record
from rnnlm.errors import GenerationError
from rnnlm.generation.prompt import prefixes_of
from rnnlm.generation.shard_sampling import DRAWN_SCHEMA, Drawing, DrawnShard
from rnnlm.saved import MEND, read_array
from rnnlm.storage import atomic_path, file_digest, is_intact

TEXTS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("log_prob_nats", pa.float64(), nullable=False),
        pa.field("prefix", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
    ]
)
SPLIT = "train"
"""The beginning of the shards' file names. From it, the library `datasets` recognises which files
to load in a folder that also has pictures and pages."""
TEXTS = "data"
"""Name of the folder of the shards. It contains no pictures or pages, so that pandas can load the
whole folder."""
COLUMNS = {
    "id": "number of the text in the job; refused texts leave gaps in the numbers",
    "text": "the text, including its prefix",
    "tokens": "number of tokens sampled, including the closing boundary",
    "log_prob_nats": "log-probability of these tokens under the model, without its <unk>, in nats",
    "prefix": "the prefix that the text was given to begin with",
    "seed": "seed of the job; together with `id` it decides all randomness of the text",
}
"""Description of each column of a data set."""

_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}


@dataclass(frozen=True)
class PublishedShard:
    """A shard of the data set.

    It contains the kept texts among the drawn texts with the numbers `start` to `stop - 1`.

    Attributes:
        drawing: The job's settings for drawing texts.
        kept: Path of a .npy file with a flag for each drawn text: whether it is kept.
        number: Number of the shard.
        start: Number of the first drawn text that may be in the shard.
        stop: One past the number of the last drawn text that may be in the shard.
        sampled: Number of the shard's texts that are examined in the slower parts of the audit.
        compared: Digest of the reference in `drawing`, the index of training text that the audit
            compares texts with; None without a reference.
        out: Folder of the data set.
        records: Folder of the shards' records.
    """

    drawing: Drawing
    kept: Path
    number: int
    start: int
    stop: int
    sampled: int
    compared: str | None
    out: Path
    records: Path

    @property
    def path(self) -> Path:
        """Path of the shard's file."""
        return self.out / TEXTS / f"{SPLIT}-{self.number:05d}.{self.drawing.config.format}"


class PublishedFile(BaseModel):
    """The parts of a published shard's record by which its file is checked."""

    file: str
    sha256: str


class PublishedRecord(BaseModel):
    """The record of a published shard.

    Attributes:
        job: Digest of the job's settings.
        reference: Digest of the reference that the audit compared with; None without one.
        file: Path of the shard in the data set's folder.
        sha256: Digest of the file.
        count: Number of texts.
        characters: Number of their characters.
        tokens: Number of their tokens.
        escaped: Number of texts with escaped line ends or backslashes.
        audit: The shard's part of the audit.
    """

    model_config = ConfigDict(extra="forbid")

    job: str
    reference: str | None
    file: str
    sha256: str
    count: int
    characters: int | None
    tokens: int | None
    escaped: int
    audit: ShardAudit


def publish_shard(shard: PublishedShard) -> dict[str, Any]:
    """Write a shard, unless that was already done; return its record with digest, counts and audit.

    A shard is written again if it was audited against another reference, or without one.

    Raises:
        GenerationError: The reference is missing, or another one is in its place.
        StorageError: The file cannot be written.
    """
    record_path = shard.records / f"{shard.number:05d}.json"
    made = {"job": shard.drawing.job, "reference": shard.compared}
    known: PublishedRecord | None = read_record(record_path, PublishedRecord)
    if known is not None and (known.job, known.reference) == (shard.drawing.job, shard.compared):
        if is_intact(shard.path, known.sha256):
            return known.model_dump(mode="json")
        logging.getLogger(__name__).warning("%s is damaged; writing it again", shard.path)
    table = _read_kept(shard)
    columns = _published(table)
    with atomic_path(shard.path) as temporary:
        _WRITERS[shard.drawing.config.format](columns, temporary)
    audit = audit_shard(
        table["text"].to_pylist(),
        table["complete"].to_numpy(),
        shard.drawing.form,
        _reference_of(shard),
        shard.sampled,
    )
    record = made | {
        "file": f"{TEXTS}/{shard.path.name}",
        "sha256": file_digest(shard.path),
        "count": len(table),
        "characters": pc.sum(pc.utf8_length(table["text"])).as_py(),
        "tokens": pc.sum(table["tokens"]).as_py(),
        "escaped": _count_escaped(columns) if shard.drawing.config.format == "txt" else 0,
        "audit": audit.model_dump(mode="json"),
    }
    write_record(record_path, record)
    return record


def _reference_of(shard: PublishedShard) -> Reference | None:
    """Return the reference that a shard is audited with; None without one.

    It stays open from one shard to the next, unless it was built again in between.
    """
    folder = shard.drawing.reference
    if folder is None:
        return None
    try:
        built = (folder / FACTS_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        built = 0
    return _reference(folder, shard.compared, built)


@lru_cache(maxsize=1)
def _reference(folder: Path, digest: str | None, _built: int) -> Reference:
    """Return the reference in a folder, after checking its digest.

    Args:
        folder: Folder of the reference.
        digest: Digest that it should have.
        _built: Time at which it was built; part of the cache's key.
    """
    reference = Reference.open(folder)
    if reference.facts.digest != digest:
        raise GenerationError(
            f"{folder} now has the reference of other training texts (found "
            f"{reference.facts.digest[:12]}, expected {str(digest)[:12]}); generate again"
        )
    return reference


def _read_kept(shard: PublishedShard) -> pa.Table:
    """Return the kept texts among those drawn with the numbers `start` to `stop - 1`.

    The table has the columns of the drawn shards, and the texts' prefixes and seed.
    """
    drawing, size = shard.drawing, shard.drawing.size
    kept = read_array(shard.kept, MEND, mapped=True)
    parts = []
    for number in range(shard.start // size, -(-shard.stop // size)):
        drawn = read_parquet(DrawnShard(drawing, number, 0, 0).path)
        first, last = max(shard.start - number * size, 0), min(shard.stop - number * size, size)
        mask = np.asarray(kept[number * size + first : number * size + last])
        parts.append(drawn.slice(first, last - first).filter(pa.array(mask)))
    table = pa.concat_tables(parts).combine_chunks()
    config = drawing.config
    prefixes = prefixes_of(config, drawing.prefixes)
    chosen = table["id"].to_numpy() // config.best_of % len(prefixes)
    seeds = np.full(len(table), config.seed)
    return table.append_column(
        "prefix", pa.array(prefixes, pa.string()).take(pa.array(chosen))
    ).append_column("seed", pa.array(seeds, pa.int64()))


def _published(table: pa.Table) -> pa.Table:
    """Return a table with the columns of the data set: `COLUMNS`, then the header's attributes."""
    headers = [name for name in table.schema.names if name not in {*COLUMNS, *DRAWN_SCHEMA.names}]
    schema = pa.schema([*TEXTS_SCHEMA, *(pa.field(name, pa.string()) for name in headers)])
    return table.select(schema.names).cast(schema)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", **PAGE_CHECKSUMS)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in table.to_batches(1000):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


def _write_txt(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(escaped(text) + "\n" for text in table["text"].to_pylist())


def escaped(text: str) -> str:
    r"""Return a text as one line: line ends become `\n` and `\r`, and a backslash becomes `\\`."""
    return re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], text)


def _count_escaped(table: pa.Table) -> int:
    """Return how many texts contain characters that `escaped` replaces."""
    return int(pc.sum(pc.match_substring_regex(table["text"], r"[\\\n\r]")).as_py())


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl, "txt": _write_txt}
