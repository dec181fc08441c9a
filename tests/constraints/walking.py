"""Produce texts that an automaton accepts, by sampling as the engine does or by enumeration."""

from collections.abc import Iterator

import numpy as np

from rnnlm.constraints.automaton import Automaton
from rnnlm.tokens import BOUNDARY_ID


def sample(
    automaton: Automaton,
    rng: np.random.Generator,
    max_length: int,
    min_length: int = 0,
    prefix: list[int] | None = None,
) -> list[int]:
    """Return the tokens of a sampled text, without the closing boundary.

    Fail if the text does not end within `max_length` tokens.
    """
    state = automaton.run(prefix or [])
    assert state is not None
    ids: list[int] = []
    for length in range(max_length):
        row = automaton.successors[state]
        allowed = (row >= 0) & (automaton.distance[row] <= max_length - length - 1)
        if length < min_length and allowed[1:].any():
            allowed[BOUNDARY_ID] = False
        token = int(rng.choice(np.flatnonzero(allowed)))
        state = int(row[token])
        ids += [token] if token != BOUNDARY_ID else []
        if automaton.distance[state] == 0:
            return ids
    raise AssertionError(f"no end within {max_length} tokens: {ids}")


def accepted(automaton: Automaton | None, most: int) -> Iterator[list[int]]:
    """Yield the tokens of each accepted text, without the closing boundary.

    Only texts of at most `most` tokens are yielded.
    """
    waiting: list[tuple[int, list[int]]] = [(automaton.start, [])] if automaton else []
    while waiting:
        assert automaton
        state, ids = waiting.pop()
        row = automaton.successors[state]
        if row[BOUNDARY_ID] >= 0 or automaton.distance[state] == 0:
            yield ids
        if len(ids) < most:
            tokens = np.flatnonzero(row >= 0).tolist()
            waiting += [(int(row[t]), [*ids, t]) for t in tokens if t != BOUNDARY_ID]
