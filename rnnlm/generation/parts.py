"""Draw a fixed share of a job's shards, so that any scheduler can spread a job over machines.

Part I of N draws every Nth of the shards that the job needs (see `rnnlm.generation.rounds`), from
number I on. The parts share the job's folder and nothing else: they need no lock, they may run at
any time and on any machine, and a part that is run again draws only what is missing. When all parts
are done, `job.generate` finds every shard drawn, and publishes the data set.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from rnnlm.checksums import read_record, write_record
from rnnlm.errors import ConfigError, GenerationError
from rnnlm.generation.job_folder import WORK, claim, writing
from rnnlm.generation.plan import JobPlan, begin
from rnnlm.generation.rounds import next_round
from rnnlm.generation.shard_sampling import Drawing, DrawnShard, draw_shards, is_drawn
from rnnlm.progress import OnProgress, silent

PARTS_FILE = "parts.json"
MOST_PARTS = 100_000


@dataclass(frozen=True)
class Part:
    """A share of a job.

    Attributes:
        number: Number of the part, 1 to `of`.
        of: Number of parts.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the part that a text such as `3/8` names.

        Raises:
            ConfigError: The text does not name a part.
        """
        number, _, of = text.partition("/")
        if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_PARTS:
            return cls(int(number), int(of))
        raise ConfigError(
            f"part {text!r} (expected I/N with 1 <= I <= N <= {MOST_PARTS:,}, such as 3/8)"
        )

    def owns(self, shard: DrawnShard) -> bool:
        """Return whether this part draws a shard."""
        return shard.number % self.of == self.number - 1


class _Parts(BaseModel):
    """How many parts a job was last split into; only messages depend on it."""

    model_config = ConfigDict(extra="forbid")

    of: int = Field(ge=1, le=MOST_PARTS)


@dataclass(frozen=True)
class PartDrawn:
    """What a part of a job has done.

    Attributes:
        texts: Number of texts of the current round that the part has drawn, now or earlier.
        left: Parts that have texts to draw, for the first time or again; empty if all texts are
            drawn and the data set can be published.
    """

    texts: int
    left: tuple[int, ...]


def draw_part(
    part: Part,
    plan: JobPlan,
    out: Path,
    *,
    on_progress: OnProgress = silent,
    executor: Executor | None = None,
) -> PartDrawn:
    """Draw the shards of one part of a job that are not drawn yet.

    Where filters refuse texts, one round may not be enough. Once all parts have drawn a round, they
    can be run again: each then draws its share of the next.

    Args:
        part: The part.
        plan: The job.
        out: Folder of the job, the same for all parts; created if needed.
        on_progress: Called with the number of texts drawn.
        executor: Draws shards in parallel; None to draw them here.

    Raises:
        CheckpointError: The model has changed since the job was planned.
        GenerationError: `out` contains another job or other files, or the filters refuse nearly all
            texts.
        StorageError: A file cannot be written, or `out` cannot be read.
    """
    out = out.resolve()
    if claim(out, plan.job):
        return PartDrawn(0, ())
    with writing(out):
        drawing, _ = begin(plan, out)
        write_record(out / WORK / PARTS_FILE, {"of": part.of})
        own = [shard for shard in _open_round(drawing) if part.owns(shard)]
        draw_shards(own, 0, on_progress, executor)
        left = missing_parts(_open_round(drawing), part.of)
    return PartDrawn(sum(shard.count for shard in own), left)


def check_all_drawn(drawing: Drawing) -> None:
    """Check that every part has drawn its shards, so that a job only has to be published.

    Raises:
        GenerationError: Shards are missing.
    """
    shards = _open_round(drawing)
    if not shards:
        return
    parts: _Parts | None = read_record(drawing.out.parent / PARTS_FILE, _Parts)
    waiting = [shard for shard in shards if not is_drawn(shard)]
    texts = sum(shard.count for shard in waiting)
    if parts is None:
        raise GenerationError(
            f"{texts:,} texts are not drawn yet, and no part has begun; run `rnnlm generate` with "
            "--part 1/N to --part N/N first, or without --finish"
        )
    missing = missing_parts(shards, parts.of)
    shown = ", ".join(map(str, missing[:12])) + (", …" if len(missing) > 12 else "")
    raise GenerationError(
        f"{texts:,} texts are not drawn yet: {len(missing):,} of {parts.of:,} parts are missing or "
        f"have more to draw ({shown}); run these parts again, or leave out --finish to draw here"
    )


def missing_parts(shards: Sequence[DrawnShard], of: int) -> tuple[int, ...]:
    """Return the numbers of the parts, among `of`, whose shards are not all drawn."""
    return tuple(sorted({shard.number % of + 1 for shard in shards if not is_drawn(shard)}))


def _open_round(drawing: Drawing) -> list[DrawnShard]:
    """Return the shards of the first round that is not all drawn; none if all rounds are drawn."""
    before: list[DrawnShard] = []
    latest = 0
    while True:
        shards, _ = next_round(drawing, before, latest)
        if not all(map(is_drawn, shards)) or not shards:
            return shards
        before += shards
        latest = len(shards)
