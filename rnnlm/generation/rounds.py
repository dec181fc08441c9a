"""Decide which shards a job has to draw, round by round, until enough texts pass the filters.

The first round draws as many texts as are wanted. If filters refuse some, further rounds replace
them. The rounds follow from the drawn texts alone, so every process that works on a job, now or
later, plans the same shards.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rnnlm.generation.accepting import more_to_draw
from rnnlm.generation.selecting import accepted_texts, first_ones
from rnnlm.generation.shard_sampling import Drawing, DrawnShard, draw_shard
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress


def next_round(
    drawing: Drawing, drawn: Sequence[DrawnShard], latest: int
) -> tuple[list[DrawnShard], NDArray[np.bool_]]:
    """Return the shards to draw next; none if the texts drawn so far are enough.

    Args:
        drawing: Settings of the job.
        drawn: The shards drawn so far: all rounds, in order, each of them whole.
        latest: Number of shards in the last of these rounds.

    Returns:
        The shards of the next round, and whether each text drawn so far may be kept, shape
        (texts drawn,).

    Raises:
        GenerationError: The filters refuse nearly all texts.
    """
    config = drawing.config
    rules = (config.unique, config.compares, config.valid_only, config.required)
    has_rules = any(rules) or config.best_of > 1
    if drawn and not has_rules:
        return [], np.ones(sum(shard.count for shard in drawn), dtype=np.bool_)
    accepted = accepted_texts(drawn, config.unique)
    if not drawn:
        aim = config.count * config.best_of
    elif np.count_nonzero(accepted) >= config.count:
        return [], accepted
    else:
        before = sum(shard.count for shard in drawn[-latest:])
        more = more_to_draw(accepted, before, config.count)
        aim = len(accepted) + max(drawing.size, more)
    return [*_shards(drawing, len(drawn), aim, whole=has_rules)], accepted


def draw_enough(
    drawing: Drawing, on_progress: OnProgress, executor: Executor | None
) -> tuple[list[DrawnShard], NDArray[np.bool_]]:
    """Draw shards until enough texts pass the filters; those already drawn are used.

    Returns:
        The drawn shards, and whether each drawn text is kept, shape (texts drawn,).

    Raises:
        GenerationError: The filters refuse nearly all texts.
    """
    shards: list[DrawnShard] = []
    latest = 0
    while True:
        more, accepted = next_round(drawing, shards, latest)
        if not more:
            return shards, first_ones(accepted, drawing.config.count)
        del accepted  # frees the memory before the next, larger array is made
        draw(more, sum(shard.count for shard in shards), on_progress, executor)
        shards += more
        latest = len(more)


def draw(
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

    work = partial(draw_shard, on_count=tell) if executor is None else draw_shard
    for number, _ in run_all(executor, work, shards):
        done += shards[number].count
        tell(0)


def _shards(drawing: Drawing, begin: int, aim: int, *, whole: bool) -> Iterator[DrawnShard]:
    """Yield the shards from number `begin` on, until all shards together have `aim` texts.

    With `whole`, the last shard is full even if the shards then have more than `aim` texts.
    """
    size = drawing.size
    for number in range(begin, -(-aim // size)):
        first = number * size
        yield DrawnShard(drawing, number, first, size if whole else min(size, aim - first))
