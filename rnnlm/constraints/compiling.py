"""What a user asks of every text, compiled to one automaton over tokens."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
import pyarrow as pa

from rnnlm.constraints import acceptors
from rnnlm.constraints.acceptors import Acceptor
from rnnlm.constraints.automaton import Automaton, farthest, from_acceptor, walk
from rnnlm.constraints.grammars import GRAMMARS
from rnnlm.errors import ConstraintError, TokenizerError
from rnnlm.tokenizer import Tokenizer, check_known

_SEARCHED_STATES = 1 << 13
"""States of the largest table that is searched for what a vocabulary lacks."""


def compile_constraints(
    tokenizer: Tokenizer,
    *,
    grammar: str = "",
    banned: Sequence[str] = (),
    required: Sequence[str] = (),
    stop: Sequence[str] = (),
    prefixes: Iterable[str] = ("",),
    min_length: int = 0,
    max_length: int,
) -> Automaton | None:
    """Compile what is asked of every text, prefix included; None where nothing is.

    Strings match anywhere, across tokens too.

    Args:
        tokenizer: The model's own.
        grammar: A name from `GRAMMARS`, or a regular expression for the whole text; see
            `rnnlm.constraints.acceptors.matching` for its dialect.
        banned: Strings that no text holds, nor do a text and the stop string that ends it.
        required: Strings that every text holds, before the stop string that ends it.
        stop: Strings of which the first that is completed ends the text; `stop_pattern` says what
            to cut off then.
        prefixes: What texts begin with.
        min_length: Fewest tokens after the prefix, before the closing boundary.
        max_length: Most tokens after the prefix, the closing boundary included.

    Raises:
        ConstraintError: The requirements contradict each other, the prefixes, the vocabulary or
            the lengths, or their table is too large.
        TokenizerError: A prefix has characters or words that the vocabulary lacks.
    """
    if not (grammar or banned or required or stop):
        return None
    begins = list(dict.fromkeys(prefixes))
    _check_strings(grammar, banned, required, stop, begins)
    try:
        pieces = tokenizer.token_bytes()
    except TokenizerError as error:
        raise ConstraintError(f"texts of this model cannot be constrained: {error}") from error
    acceptor = _acceptor(grammar, banned, required, stop)
    automaton = from_acceptor(acceptor, pieces) if acceptor else None
    if acceptor is None or automaton is None:
        lacking = _lacking(acceptor, pieces) if acceptor else ""
        reason = f"; the vocabulary lacks {lacking}" if lacking else ""
        asked = f"be what is asked ({_described(grammar, banned, required, stop)})"
        raise ConstraintError(f"no text of this model can {asked}{reason}; ask for less")
    _check_prefixes(automaton, tokenizer, begins, min_length, max_length)
    return automaton


def stop_pattern(stop: Sequence[str]) -> str:
    """Return a regular expression for what is cut off a text that a stop string has ended.

    It matches from where the stop string begins that is completed first, and to the text's end; the
    longest, if several are completed there. Search the whole text, prefix included.
    """
    first = [text for text in stop if not any(other in text[:-1] for other in stop)]
    return f"(?s)(?:{'|'.join(map(re.escape, first))}).*"


def _acceptor(
    grammar: str, banned: Sequence[str], required: Sequence[str], stop: Sequence[str]
) -> Acceptor | None:
    """Return what all requirements accept; None where the grammar matches nothing."""
    oldest = max((len(_bytes(text)) for text in stop), default=0)
    parts = [acceptors.holding(_bytes(text), oldest) for text in dict.fromkeys(required)]
    if banned:
        parts.append(acceptors.without(map(_bytes, banned)))
    if grammar:
        accepted = acceptors.matching(GRAMMARS.get(grammar, grammar))
        if accepted is None:
            return None
        parts.insert(0, accepted)
    if stop:  # last: it looks at what the others still miss
        parts.append(acceptors.until(map(_bytes, stop)))
    return reduce(acceptors.product, parts, acceptors.anything())


def _check_strings(
    grammar: str,
    banned: Sequence[str],
    required: Sequence[str],
    stop: Sequence[str],
    prefixes: Sequence[str],
) -> None:
    if grammar and stop:
        raise ConstraintError(
            f"a grammar and the stop string {stop[0]!r}: the grammar says where a text ends; "
            "leave one of them out"
        )
    kinds = (("banned", banned), ("required", required), ("stop", stop))
    for kind, strings in kinds:
        if "" in strings:
            raise ConstraintError(f"a {kind} string is empty (expected some text); leave it out")
    for kind, strings in (("banned", banned), ("stop", stop)):
        for text in strings:
            for other in required:
                if text in other:
                    raise ConstraintError(
                        f"the {kind} string {text!r} stands in the required {other!r}, so that no "
                        "text can hold it; leave one of them out"
                    )
            for prefix in prefixes:
                if text in prefix:
                    raise ConstraintError(
                        f"the {kind} string {text!r} stands in the prefix {prefix!r}; "
                        "change one of them"
                    )


def _check_prefixes(
    automaton: Automaton,
    tokenizer: Tokenizer,
    prefixes: Sequence[str],
    min_length: int,
    max_length: int,
) -> None:
    encoded = tokenizer.encode_batch(pa.array(map(_bytes, prefixes), pa.large_binary()))
    states, lengths = walk(automaton, encoded)
    if (states < 0).any():
        at = int(np.argmax(states < 0))
        check_known(tokenizer, prefixes[at], "the prefix")
        ids = encoded.tokens[encoded.offsets[at] : encoded.offsets[at + 1] - 1].tolist()
        good, bad = ids[: lengths[at]], ids[lengths[at] : lengths[at] + 1]
        raise ConstraintError(
            f"no text that begins with the prefix {prefixes[at]!r} can be what is asked: "
            f"{tokenizer.decode(bad)!r} may not follow {tokenizer.decode(good)!r}; change the "
            "prefix or the constraints"
        )
    fewest = automaton.distance[states]
    if (fewest > max_length).any():
        at = int(np.argmax(fewest))
        raise ConstraintError(
            f"the shortest text that is what is asked{_after(prefixes[at])} takes {fewest[at]} "
            f"tokens, the closing boundary included (at most max_length = {max_length}); raise "
            "max_length"
        )
    if min_length == 0:
        return
    most = farthest(automaton)[states] - 1
    is_short = (most >= 0) & (most < min_length)
    if is_short.any():
        at = int(np.argmax(is_short))
        raise ConstraintError(
            f"the longest text that is what is asked{_after(prefixes[at])} takes {most[at]} tokens "
            f"before its closing boundary (at least min_length = {min_length}); lower min_length"
        )


def _lacking(acceptor: Acceptor, pieces: Sequence[bytes]) -> str:
    """Return characters that no token holds, of an accepted text with fewest such bytes.

    Empty if the table is too large to search, or if characters are not the cause.
    """
    if len(acceptor.successors) > _SEARCHED_STATES:
        return ""
    had = frozenset(b"".join(pieces))
    came: dict[int, tuple[int, int]] = {}
    waiting = deque([(0, -1, 0)])
    while waiting:
        state, before, byte = waiting.popleft()
        if state in came:
            continue
        came[state] = (before, byte)
        if acceptor.may_end[state] or acceptor.stop[state]:
            return ", ".join(repr(c) for c in _way(came, state) if not had.issuperset(_bytes(c)))
        row = acceptor.successors[state]
        for step in np.flatnonzero(row >= 0).tolist():
            if step in had:
                waiting.appendleft((int(row[step]), state, step))
            else:
                waiting.append((int(row[step]), state, step))
    return ""


def _way(came: dict[int, tuple[int, int]], state: int) -> dict[str, None]:
    """Return the characters that lead to a state, each once, from where each state was come to."""
    way = bytearray()
    while came[state][0] >= 0:
        state, byte = came[state]
        way.append(byte)
    return dict.fromkeys(way[::-1].decode("utf-8", "replace"))


def _described(
    grammar: str, banned: Sequence[str], required: Sequence[str], stop: Sequence[str]
) -> str:
    kinds = (("banned", banned), ("required", required), ("stop", stop))
    parts = [f"grammar {grammar!r}"] if grammar else []
    parts += [f"{kind} {', '.join(map(repr, strings))}" for kind, strings in kinds if strings]
    return "; ".join(parts)


def _after(prefix: str) -> str:
    return f" after the prefix {prefix!r}" if prefix else ""


def _bytes(text: str) -> bytes:
    """Return the UTF-8 of a text; a lone surrogate becomes bytes that no text holds."""
    return text.encode("utf-8", "surrogatepass")
