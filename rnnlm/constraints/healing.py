"""Token healing: continue a prefix that ends in the middle of a word.

In training text for a tokenizer of word pieces (byte-pair encoding), `" world"` is one token, and
`" wor"` hardly ever comes before `"ld"`. So a model that is fed `" wor"` does not expect `"ld"`.
Therefore the model is not fed the last piece of a prefix, such as `" wor"`, but only the text
before it, the *head*. It must then draw tokens that spell the last piece: each of them equals the
unwritten rest of it, begins with that rest, or is a beginning of it. So the text begins with the
prefix and is tokenized like training text. If `max_length` leaves no room for that, or the last
piece is longer than `LONGEST_PIECE`, the whole prefix is fed to the model.

Source: "token healing" of the `guidance` library (Microsoft 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnlm import arrow
from rnnlm.constraints.acceptors import check_size
from rnnlm.constraints.automaton import Automaton, unrestricted
from rnnlm.errors import ConstraintError
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokenizer.segments import pieces
from rnnlm.tokens import BOUNDARY_ID

LONGEST_PIECE = 200
"""Most bytes of a last piece that the model has to draw; hardly any token is longer."""
_NEVER = np.iinfo(np.int32).max // 2
"""The distance (fewest tokens until the text ends) of a state from which no text can end."""


@dataclass(frozen=True)
class Rules:
    """The beginnings of a job's texts, and the constraints on the texts.

    Attributes:
        heads: Texts that are fed to the model before it samples. Before text n, this is
            `heads[n % len(heads)]`.
        automaton: Determines which tokens the model may draw; None if it may draw any token.
        starts: The automaton's state after each head, shape (heads,); None without an automaton.
    """

    heads: tuple[str, ...]
    automaton: Automaton | None = None
    starts: NDArray[np.int32] | None = None


def rules_of(
    tokenizer: Tokenizer,
    prefixes: Sequence[str],
    automaton: Automaton | None,
    max_length: int,
) -> Rules:
    """Return the rules for texts with some prefixes, with token healing for byte-pair encoding.

    Args:
        tokenizer: The model's tokenizer.
        prefixes: Text n begins with `prefixes[n % len(prefixes)]`.
        automaton: Constraints on texts, including their prefixes, which must be allowed; None for
            no constraints.
        max_length: Most tokens that are drawn, including the boundary token that ends a text.

    Raises:
        ConstraintError: The table would be too large, or no text can begin with a prefix.
    """
    if tokenizer.kind == "bpe" and any(prefixes):
        return _healed(tokenizer, prefixes, automaton, max_length)
    if automaton is None:
        return Rules(tuple(prefixes))
    states = [automaton.run(tokenizer.encode(prefix).tolist()) for prefix in prefixes]
    return Rules(tuple(prefixes), automaton, np.array(states, dtype=np.int32))


def _healed(
    tokenizer: Tokenizer, prefixes: Sequence[str], automaton: Automaton | None, max_length: int
) -> Rules:
    spelled = tokenizer.token_bytes()
    whole = automaton or unrestricted(spelled)
    table = _Table(whole, spelled)
    found = {}
    for prefix in dict.fromkeys(prefixes):
        for head, tail in (_parted(prefix), (prefix, b"")):
            if len(tail) > LONGEST_PIECE:
                continue
            state = whole.run(tokenizer.encode(head).tolist())
            start = -1 if state is None else table.state(state, tail)
            if start >= 0 and table.distance(start) <= max_length:
                break
        else:
            raise ConstraintError(
                f"no text that begins with the prefix {prefix!r} can satisfy the constraints; "
                "change the prefix or the constraints, or raise max_length"
            )
        found[prefix] = head, start
    heads = tuple(found[prefix][0] for prefix in prefixes)
    starts = np.array([found[prefix][1] for prefix in prefixes], dtype=np.int32)
    return Rules(heads, table.automaton(), starts)


def _parted(prefix: str) -> tuple[str, bytes]:
    """Split a prefix before its last piece; return the text before it, and the piece's bytes.

    A piece is a part of the text that the tokenizer encodes separately, such as a word with the
    space before it.
    """
    data = prefix.encode("utf-8", "surrogatepass")
    if not data:
        return prefix, b""
    found = pieces(arrow.binaries([data]))
    last: bytes = found.distinct[int(found.indices[-2])].as_py()  # the very last is the `END` byte
    return data[: len(data) - len(last)].decode("utf-8", "surrogatepass"), last


class _Table:
    """Adds states to an automaton in which the model must first write the rest of a prefix.

    The bytes of each token are given as `spelled`.
    """

    def __init__(self, automaton: Automaton, spelled: Sequence[bytes]) -> None:
        self._automaton, self._spelled = automaton, spelled
        self._rows: list[NDArray[np.int32]] = []
        self._distances: list[int] = []
        self._known: dict[tuple[int, bytes], int] = {}
        self._fitting: dict[bytes, list[tuple[int, bytes]]] = {}

    def state(self, state: int, rest: bytes) -> int:
        """Return a state from which a text must spell `rest` and then continue from `state`.

        The state is added if needed. Return -1 if no text can be completed from there.
        """
        if not rest:
            return state
        key = (state, rest)
        if key not in self._known:
            self._known[key] = self._add(state, rest)
        return self._known[key]

    def automaton(self) -> Automaton:
        """Return the extended automaton."""
        rows = [self._automaton.successors, *(row[None] for row in self._rows)]
        distance = [self._automaton.distance, np.array(self._distances, dtype=np.int32)]
        return Automaton(np.ascontiguousarray(np.concatenate(rows)), np.concatenate(distance), 0)

    def _add(self, state: int, rest: bytes) -> int:
        row = np.full(len(self._spelled), -1, dtype=np.int32)
        fewest = _NEVER
        for token, left in self._tokens_for(rest):
            after = int(self._automaton.successors[state, token])
            if after < 0:
                continue
            following = self.state(after, left)
            if following >= 0:
                row[token] = following
                fewest = min(fewest, 1 + self.distance(following))
        if fewest >= _NEVER:
            return -1
        number = len(self._automaton.distance) + len(self._rows)
        check_size(number + 1, len(self._spelled))
        self._rows.append(row)
        self._distances.append(fewest)
        return number

    def distance(self, state: int) -> int:
        """Return the fewest tokens from a state until the text ends."""
        own = len(self._automaton.distance)
        return int(self._automaton.distance[state]) if state < own else self._distances[state - own]

    def _tokens_for(self, rest: bytes) -> list[tuple[int, bytes]]:
        """Return the tokens that may come next where `rest` must be written.

        Each token comes with the bytes that must still be written after it.
        """
        if rest not in self._fitting:
            self._fitting[rest] = [
                (token, rest[len(spelling) :])
                for token, spelling in enumerate(self._spelled)
                if token != BOUNDARY_ID
                and spelling
                and (spelling.startswith(rest) or rest.startswith(spelling))
            ]
        return self._fitting[rest]
