"""An automaton over tokens, from which the sampling loop reads which tokens may come next.

A text, including its prefix, begins in the state `start`, and each token leads to another state. In
state s, when the text may have n more tokens, token t is allowed if `successors[s, t] >= 0` and
`distance[successors[s, t]] <= n - 1`. So every text can end before its maximum length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.constraints.acceptors import Acceptor, check_size
from rnnlm.tokenizer import Encoded
from rnnlm.tokens import BOUNDARY_ID

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton over tokens; from every state, the text can still end.

    Attributes:
        successors: The state that follows after each token, -1 if the token is forbidden; int32,
            shape (states, vocab). The boundary token, which ends a text, is forbidden in states in
            which the text may not end.
        distance: Fewest tokens until the text ends, including a closing boundary token; int32,
            shape (states,). It is 0 only in the final state, which has no successors.
        start: The state of the empty text.
    """

    successors: NDArray[np.int32]
    distance: NDArray[np.int32]
    start: int

    def run(self, ids: Iterable[int]) -> int | None:
        """Return the state after some tokens, from `start`; None if one of them is forbidden."""
        state = self.start
        for token in ids:
            state = int(self.successors[state, token])
            if state < 0:
                return None
        return state


class Walks(NamedTuple):
    """The result of running an automaton over some documents.

    Attributes:
        states: The state after each document, -1 if one of its tokens is forbidden; shape
            (documents,).
        lengths: For each document, the number of tokens before the first forbidden one, or the
            number of all its tokens if none is forbidden; shape (documents,).
    """

    states: NDArray[np.int64]
    lengths: NDArray[np.int64]


def unrestricted(pieces: Sequence[bytes]) -> Automaton:
    """Return an automaton that allows every text; tokens without bytes are forbidden.

    It equals the one that `from_acceptor` compiles for an acceptor of every text.

    Args:
        pieces: The bytes of each token, by id.
    """
    successors = np.full((2, len(pieces)), -1, dtype=np.int32)
    successors[0, [bool(piece) for piece in pieces]] = 0
    successors[0, BOUNDARY_ID] = 1
    return Automaton(successors, np.array([1, 0], dtype=np.int32), 0)


def from_acceptor(acceptor: Acceptor, pieces: Sequence[bytes]) -> Automaton | None:
    """Compile an automaton over bytes to one over tokens; return None if no text can end.

    A text ends with the token that completes a stop string, even if the token has more bytes after
    it. Tokens without bytes are forbidden, except for the boundary token.

    Args:
        acceptor: An automaton over bytes that accepts the allowed texts.
        pieces: The bytes of each token, by id.

    Raises:
        ConstraintError: The table would be too large.
    """
    count = len(acceptor.successors)
    forbidden, over = count, count + 1
    table = np.full((count + 2, 256), forbidden, dtype=np.int32)
    table[over] = over
    place_of = np.where(acceptor.stop > 0, over, np.arange(count)).astype(np.int32)
    table[:count] = np.where(acceptor.successors < 0, forbidden, place_of[acceptor.successors])
    may_end = np.append(acceptor.may_end, [False, False])
    tokens = _Tokens(pieces)
    number = np.full(count + 2, -1, dtype=np.int32)
    number[0], found, known = 0, [np.zeros(1, dtype=np.int64)], 1
    rows: list[NDArray[np.int32]] = []
    frontier = found[0]
    while len(frontier):
        reached = []
        size = max(1, _ENTRIES_AT_ONCE // len(pieces))
        for start in range(0, len(frontier), size):
            states = frontier[start : start + size]
            row = tokens.after(table, states, forbidden)
            row[:, BOUNDARY_ID] = np.where(may_end[states], over, forbidden)
            rows.append(row)
            reached.append(np.unique(row))
        frontier = np.unique(np.concatenate(reached)).astype(np.int64)
        frontier = frontier[(number[frontier] < 0) & (frontier != forbidden)]
        number[frontier] = np.arange(known, known + len(frontier))
        found.append(frontier)
        known += len(frontier)
        check_size(known, len(pieces))
    return _trimmed(number[np.concatenate(rows)], int(number[over]))


def walk(automaton: Automaton, documents: Encoded) -> Walks:
    """Run an automaton over many documents at once, without their closing boundary tokens."""
    lengths = np.diff(documents.offsets) - 1
    states = np.full(len(lengths), automaton.start, dtype=np.int64)
    walked = np.zeros_like(lengths)
    active = np.flatnonzero(lengths > 0)
    while len(active):
        tokens = documents.tokens[documents.offsets[active] + walked[active]]
        states[active] = automaton.successors[states[active], tokens]
        active = active[states[active] >= 0]
        walked[active] += 1
        active = active[walked[active] < lengths[active]]
    return Walks(states, walked)


def farthest(automaton: Automaton) -> NDArray[np.int64]:
    """Return for each state the largest number of tokens that can follow until the text ends.

    Returns:
        The numbers, including a closing boundary token; -1 for states from which the text can
        become arbitrarily long. Shape (states,).
    """
    graph = _graph(automaton.successors)
    before = graph.T.tocsr()
    ways_left = np.diff(graph.indptr)
    most = np.where(ways_left == 0, 0, -1)
    ready = np.flatnonzero(ways_left == 0).tolist()
    best = np.zeros(len(most), dtype=np.int64)
    while ready:
        state = ready.pop()
        most[state] = best[state]
        for earlier in before.indices[before.indptr[state] : before.indptr[state + 1]].tolist():
            best[earlier] = max(best[earlier], best[state] + 1)
            ways_left[earlier] -= 1
            if not ways_left[earlier]:
                ready.append(earlier)
    return most


class _Tokens:
    """The bytes of all tokens of a vocabulary as one array, with the longest tokens first."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        sizes = np.array([len(piece) for piece in pieces])
        self._vocab_size = len(pieces)
        self._ids = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        longest = int(sizes.max(initial=0))
        joined = b"".join(pieces[token].ljust(longest, b"\0") for token in self._ids)
        self._bytes = np.frombuffer(joined, dtype=np.uint8).reshape(len(self._ids), longest)
        self._counts = [int((sizes > place).sum()) for place in range(longest)]

    def after(
        self, table: NDArray[np.int32], states: NDArray[np.int64], forbidden: int
    ) -> NDArray[np.int32]:
        """Return the state that each token leads to from each of `states`.

        Args:
            table: The state after each byte, shape (all states, 256).
            states: The states to start from, shape (states,).
            forbidden: The state to return for tokens without bytes.

        Returns:
            Shape (states, vocab).
        """
        current = np.repeat(states[:, None], len(self._ids), axis=1)
        for place, count in enumerate(self._counts):
            current[:, :count] = table[current[:, :count], self._bytes[:count, place]]
        row = np.full((len(states), self._vocab_size), forbidden, dtype=np.int32)
        row[:, self._ids] = current
        return row


def _trimmed(successors: NDArray[np.int32], over: int) -> Automaton | None:
    """Return an automaton without the states from which the text cannot end.

    Returns None if it cannot end even from the initial state.

    Args:
        successors: The state after each token, shape (states, vocab); the initial state is 0.
            Modified.
        over: The state of texts that have ended; -1 if there is no such state.
    """
    if over < 0:
        return None
    successors[over] = -1
    from scipy.sparse.csgraph import dijkstra

    fewest = dijkstra(_graph(successors).T, indices=over, unweighted=True)
    is_alive = np.isfinite(fewest)
    if not is_alive[0]:
        return None
    number = np.append(np.where(is_alive, np.cumsum(is_alive) - 1, -1), -1).astype(np.int32)
    kept = number[successors[is_alive]]
    return Automaton(np.ascontiguousarray(kept), fewest[is_alive].astype(np.int32), 0)


def _graph(successors: NDArray[np.int32]) -> csr_matrix:
    """Return the transition matrix of an automaton, shape (states, states).

    Several transitions between the same two states become one entry.
    """
    states, vocab_size = successors.shape
    size = max(1, _ENTRIES_AT_ONCE // vocab_size)
    found = []
    for start in range(0, states, size):
        block = successors[start : start + size]
        rows = np.arange(start, start + len(block), dtype=np.int64)[:, None]
        found.append(np.unique(np.where(block < 0, -1, rows * states + block)))
    pairs = np.concatenate(found)
    one, two = np.divmod(pairs[pairs >= 0], states)
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(one), np.int8), (one, two)), shape=(states, states))
