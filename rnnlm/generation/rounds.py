"""Decide which shards a job has to draw, round by round, until enough texts pass the filters.

The first round draws as many texts as are wanted. If filters refuse some, further rounds replace
them. The rounds follow from the drawn texts alone, so every process that works on a job, now or
later, plans the same shards.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rnnlm.generation.accepting import more_to_draw
from rnnlm.generation.selecting import accepted_texts
from rnnlm.generation.shard_sampling import Drawing, DrawnShard


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


def _shards(drawing: Drawing, begin: int, aim: int, *, whole: bool) -> Iterator[DrawnShard]:
    """Yield the shards from number `begin` on, until all shards together have `aim` texts.

    With `whole`, the last shard is full even if the shards then have more than `aim` texts.
    """
    size = drawing.size
    for number in range(begin, -(-aim // size)):
        first = number * size
        yield DrawnShard(drawing, number, first, size if whole else min(size, aim - first))
