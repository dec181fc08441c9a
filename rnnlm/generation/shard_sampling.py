"""Sample a shard of a job: texts with consecutive numbers, in one file.

These are plain functions that any worker can run. The content of a shard depends only on the job
and the shard's number. Its file is written atomically; then a record is written next to it. If both
exist, the shard is not sampled again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from rnnlm.audit.copies import hashes
from rnnlm.audit.reference import Reference
from rnnlm.checksums import PAGE_CHECKSUMS, read_record, write_record
from rnnlm.conditioning import split_column
from rnnlm.config import GenerationConfig
from rnnlm.engine.loading import digest_of_checkpoint, load_sampler
from rnnlm.engine.opening import Slots, run
from rnnlm.engine.texts import Decoder
from rnnlm.errors import CheckpointError
from rnnlm.generation.accepting import accepted, best_of_groups
from rnnlm.generation.prompt import constraint, open_texts, prefixes_of
from rnnlm.kernels.slots import EndedTexts, in_order
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress
from rnnlm.storage import atomic_path, file_digest, is_intact

FEWEST_DRAWN = 1000
"""Least number of texts of a drawn shard. It matters for small data sets, of which filters may
refuse most texts."""
SHARDS_PER_TASK = 8
"""Number of consecutive shards that a worker with a GPU draws as one stream."""
DRAWN_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("log_prob_nats", pa.float64(), nullable=False),
        pa.field("complete", pa.bool_(), nullable=False),
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("accepted", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Drawing:
    """The settings that all shards of a job share; paths are the same on every machine.

    Attributes:
        job: Digest of the job's settings. A shard's record contains it, so that a shard of another
            job is recognised.
        checkpoint: Path of the model's checkpoint.
        digest: sha256 of the checkpoint file.
        packed: Folder of packed models; see `rnnlm.engine.loading`. None to keep none.
        device: Kind of device that the job is computed on, `cpu` or `cuda`.
        config: Settings for sampling, constraints and filters; `precision` is no longer `auto`.
        form: What a text should be; see `CorpusConfig.form`.
        prefixes: A text file with one prefix per line; text n begins with line n. After the last
            line, the first one follows again. None for a single prefix.
        reference: Folder of the reference, the index of training text that texts are compared with
            (see `rnnlm.audit.reference`); None for none.
        out: Folder of the drawn shards.
    """

    job: str
    checkpoint: Path
    digest: str
    packed: Path | None
    device: str
    config: GenerationConfig
    form: str
    prefixes: Path | None
    reference: Path | None
    out: Path

    @property
    def size(self) -> int:
        """Number of texts of a drawn shard, a multiple of `config.best_of`.

        It is about as large as a shard of the data set, or smaller for a small data set.
        """
        texts = min(self.config.shard_size, max(self.config.count, FEWEST_DRAWN))
        return texts + -texts % self.config.best_of


@dataclass(frozen=True)
class DrawnShard:
    """A shard of drawn texts: texts `first` to `first + count - 1` of a job."""

    drawing: Drawing
    number: int
    first: int
    count: int

    @property
    def path(self) -> Path:
        """Path of the shard's file."""
        return self.drawing.out / f"{self.number:06d}.parquet"

    @property
    def record_path(self) -> Path:
        """Path of the record, which exists once the shard is complete."""
        return self.path.with_suffix(".json")


class DrawnRecord(BaseModel):
    """The record of a drawn shard: its job's digest, the file's sha256 and the number of texts."""

    model_config = ConfigDict(extra="forbid")

    job: str
    sha256: str
    count: int


def is_drawn(shard: DrawnShard) -> bool:
    """Return whether a shard's file and record exist; whether the file is intact is not checked."""
    known: DrawnRecord | None = read_record(shard.record_path, DrawnRecord)
    return known is not None and known.job == shard.drawing.job and shard.path.is_file()


def draw_shards(
    shards: Sequence[DrawnShard], before: int, on_progress: OnProgress, executor: Executor | None
) -> None:
    """Draw shards, in any order.

    Args:
        shards: The shards.
        before: Number of texts that were drawn earlier, for the progress.
        on_progress: Called with the number of texts drawn.
        executor: Draws shards in parallel; None to draw them here.
    """
    total = before + sum(shard.count for shard in shards)
    done = before

    def tell(within: int) -> None:
        on_progress(Progress(done + within, total, "texts"))

    most = len(shards) if executor is None else max(map(_most_per_task, shards), default=1)
    streams = [*_streams(shards, most)]
    work = partial(draw_stream, on_count=tell) if executor is None else draw_stream
    for number, _ in run_all(executor, work, streams):
        done += sum(shard.count for shard in streams[number])
        tell(0)


def draw_stream(
    shards: Sequence[DrawnShard], on_count: Callable[[int], None] | None = None
) -> None:
    """Sample shards as one stream of texts, and write each file when the last of its texts ends.

    The slots take texts of the next shard while the last texts of a shard are in progress. Shards
    that are complete already are left as they are.

    Args:
        shards: Shards of one job, with consecutive texts.
        on_count: Called with the number of texts drawn so far. If it raises, the shards whose texts
            have not all ended are not written.

    Raises:
        CheckpointError: The checkpoint is missing, or is no longer the one that the job began with.
        StorageError: A file cannot be written.
    """
    left = [shard for shard in shards if not _is_complete(shard)]
    drawn = sum(shard.count for shard in shards) - sum(shard.count for shard in left)
    for stream in _streams(left, len(left)):
        opened = _opened(stream[0].drawing)
        count = sum(shard.count for shard in stream)
        waiting: dict[int, list[EndedTexts]] = {place: [] for place in range(len(stream))}
        try:
            for ended in run(opened.slots, stream[0].first, count):
                drawn += len(ended.numbers)
                for place, part in _by_shard(ended, stream):
                    waiting[place].append(part)
                    if sum(len(part.numbers) for part in waiting[place]) == stream[place].count:
                        _write(stream[place], _table(opened, stream[place], waiting.pop(place)))
                if on_count is not None:
                    on_count(drawn)
        except BaseException:
            _kept.drawing = None  # the slots stopped in the middle of texts
            raise


def _most_per_task(shard: DrawnShard) -> int:
    """Return how many consecutive shards a worker draws as one stream.

    On a GPU, it is several, as thousands of slots would wait for the last texts of every shard.
    """
    return SHARDS_PER_TASK if shard.drawing.device != "cpu" else 1


def _streams(shards: Sequence[DrawnShard], most: int) -> Iterator[list[DrawnShard]]:
    """Yield the shards in lists of at most `most` with consecutive texts."""
    stream: list[DrawnShard] = []
    for shard in shards:
        if stream and (len(stream) == most or shard.first != stream[-1].first + stream[-1].count):
            yield stream
            stream = []
        stream.append(shard)
    if stream:
        yield stream


def _is_complete(shard: DrawnShard) -> bool:
    known: DrawnRecord | None = read_record(shard.record_path, DrawnRecord)
    if known is None or known.job != shard.drawing.job:
        return False
    if is_intact(shard.path, known.sha256):
        return True
    logging.getLogger(__name__).warning("%s is damaged; drawing it again", shard.path)
    return False


def _by_shard(ended: EndedTexts, stream: Sequence[DrawnShard]) -> Iterator[tuple[int, EndedTexts]]:
    """Yield, for each shard that some texts belong to, its place in the stream and these texts."""
    firsts = [shard.first for shard in stream]
    places = np.searchsorted(firsts, ended.numbers, side="right") - 1
    for place in np.unique(places):
        own = places == place
        tokens = ended.tokens[np.repeat(own, ended.lengths)]
        yield (
            int(place),
            EndedTexts(
                ended.numbers[own],
                ended.lengths[own],
                tokens,
                ended.complete[own],
                ended.log_probs[own],
            ),
        )


def _write(shard: DrawnShard, table: pa.Table) -> None:
    with atomic_path(shard.path) as temporary:
        pq.write_table(table, temporary, compression="lz4", **PAGE_CHECKSUMS)
    record = {
        "job": shard.drawing.job,
        "sha256": file_digest(shard.path),
        "count": shard.count,
    }
    write_record(shard.record_path, record)


@dataclass(frozen=True)
class _Opened:
    slots: Slots
    decoder: Decoder
    reference: Reference | None
    condition: tuple[str, ...]


_kept = threading.local()


def _opened(drawing: Drawing) -> _Opened:
    """Return the opened resources of a job (slots, decoder, reference).

    Each thread keeps them open from one shard to the next.
    """
    if getattr(_kept, "drawing", None) != drawing:
        _kept.opened, _kept.drawing = _open(drawing), drawing
    opened: _Opened = _kept.opened
    return opened


def _open(drawing: Drawing) -> _Opened:
    if digest_of_checkpoint(drawing.checkpoint) != drawing.digest:
        raise CheckpointError(
            f"{drawing.checkpoint} is no longer the model that this job started with; restore it, "
            "or choose another --out"
        )
    config, on_gpu = drawing.config, drawing.device != "cpu"
    sampler = load_sampler(
        drawing.checkpoint, drawing.packed, drawing.digest, config.precision, gpu=on_gpu
    )
    assert sampler.precision == config.precision  # as the device is of the job's kind
    opening = open_texts(sampler.experiment, config)
    lines = prefixes_of(config, drawing.prefixes)
    each = [line for line in lines for _ in range(config.best_of)] if len(lines) > 1 else lines
    prefixes = opening.before(each)
    rules = config.model_copy(update={"required": ()})  # `accepted` checks required strings
    compiled = constraint(sampler.tokenizer, rules, opening, prefixes)
    return _Opened(
        sampler.open_slots(config, compiled),
        Decoder(sampler.tokenizer, compiled.heads, config.stop),
        Reference.open(drawing.reference) if drawing.reference and config.compares else None,
        opening.condition,
    )


def _table(opened: _Opened, shard: DrawnShard, parts: list[EndedTexts]) -> pa.Table:
    drawing, ended = shard.drawing, in_order(parts)
    values, texts = split_column(opened.decoder.decode(ended), opened.condition)
    strings = texts.to_pylist()
    columns = [
        ended.numbers,
        texts,
        ended.lengths,
        ended.log_probs,
        ended.complete,
        hashes(strings),
        best_of_groups(
            accepted(strings, drawing.config, drawing.form, opened.reference),
            strings,
            ended.log_probs,
            drawing.config.best_of,
        ),
    ]
    table = pa.table(columns, schema=DRAWN_SCHEMA)
    for name, column in values.items():
        table = table.append_column(pa.field(name, pa.large_string()), column)
    return table
