"""Compile a user's constraints on texts to one automaton over tokens."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from rnnlm import arrow
from rnnlm.constraints import acceptors
from rnnlm.constraints.acceptors import Acceptor
from rnnlm.constraints.automaton import Automaton, farthest, from_acceptor, walk
from rnnlm.constraints.grammars import GRAMMARS
from rnnlm.errors import ConstraintError, TokenizerError
from rnnlm.tokenizer import Tokenizer, check_known

_SEARCHED_STATES = 1 << 13
"""Most states of an acceptor that is searched for characters that the vocabulary lacks."""


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
    """Compile constraints that every text, including its prefix, must satisfy.

    Returns None if there are no constraints. The strings are looked for anywhere in a text; an
    occurrence may extend over several tokens.

    Args:
        tokenizer: The model's tokenizer.
        grammar: A name from `GRAMMARS`, or a regular expression for the whole text; see
            `rnnlm.constraints.acceptors.bare_pattern` for its dialect.
        banned: Strings that must not occur in a text or in the stop string that ends it.
        required: Strings that must occur in every text, before the stop string that ends it.
        stop: Stop strings. The one that is completed first ends the text; `stop_pattern` matches
            the part of the text to cut off.
        prefixes: The prefixes that texts begin with.
        min_length: Fewest tokens after the prefix and before the boundary token that ends a text.
        max_length: Most tokens after the prefix, including that boundary token.

    Raises:
        ConstraintError: The constraints contradict each other, a prefix, the vocabulary or the
            lengths, or their table is too large.
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
        asked = f"satisfies the constraints ({_described(grammar, banned, required, stop)})"
        raise ConstraintError(
            f"this model cannot produce any text that {asked}{reason}; relax them"
        )
    _check_prefixes(automaton, tokenizer, begins, min_length, max_length)
    return automaton


def stop_pattern(stop: Sequence[str]) -> str:
    """Return a regular expression that matches the part of a text to cut off at a stop string.

    The match begins with the stop string that is completed first, and extends to the end of the
    text. If several are completed at the same place, it begins with the longest of them. Search for
    it in the whole text, including the prefix.
    """
    first = [text for text in stop if not any(other in text[:-1] for other in stop)]
    return f"(?s)(?:{'|'.join(map(re.escape, first))}).*"


def _acceptor(
    grammar: str, banned: Sequence[str], required: Sequence[str], stop: Sequence[str]
) -> Acceptor | None:
    """Return an acceptor for the texts that satisfy all constraints; see `acceptors`.

    Returns None if the grammar matches no text.
    """
    oldest = max((len(_bytes(text)) for text in stop), default=0)
    parts = [acceptors.holding(_bytes(text), oldest) for text in dict.fromkeys(required)]
    if banned:
        parts.append(acceptors.without(map(_bytes, banned)))
    if grammar:
        accepted = acceptors.matching(GRAMMARS.get(grammar, grammar))
        if accepted is None:
            return None
        parts.insert(0, accepted)
    if stop:  # must be combined last, as it depends on which required strings are still missing
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
            f"both a grammar and the stop string {stop[0]!r} are given (expected one of them: the "
            "grammar already decides where a text ends); leave one of them out"
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
                        f"the {kind} string {text!r} is part of the required string {other!r}, so "
                        "no text can contain it; leave one of them out"
                    )
            for prefix in prefixes:
                if text in prefix:
                    raise ConstraintError(
                        f"the {kind} string {text!r} is part of the prefix {prefix!r}; "
                        "change one of them"
                    )


def _check_prefixes(
    automaton: Automaton,
    tokenizer: Tokenizer,
    prefixes: Sequence[str],
    min_length: int,
    max_length: int,
) -> None:
    written = [prefix.encode("utf-8", "replace") for prefix in prefixes]  # as `encode` does
    encoded = tokenizer.encode_batch(arrow.binaries(written))
    states, lengths = walk(automaton, encoded)
    if (states < 0).any():
        at = int(np.argmax(states < 0))
        check_known(tokenizer, prefixes[at], "the prefix")
        ids = encoded.tokens[encoded.offsets[at] : encoded.offsets[at + 1] - 1].tolist()
        good, bad = ids[: lengths[at]], ids[lengths[at] : lengths[at] + 1]
        raise ConstraintError(
            f"no text that begins with the prefix {prefixes[at]!r} can satisfy the constraints: "
            f"{tokenizer.decode(bad)!r} must not follow {tokenizer.decode(good)!r}; change the "
            "prefix or the constraints"
        )
    fewest = automaton.distance[states]
    if (fewest > max_length).any():
        at = int(np.argmax(fewest))
        raise ConstraintError(
            f"the shortest text that satisfies the constraints{_after(prefixes[at])} takes "
            f"{fewest[at]} tokens, including the closing boundary (expected at most max_length = "
            f"{max_length}); raise max_length"
        )
    if min_length == 0:
        return
    most = farthest(automaton)[states] - 1
    is_short = (most >= 0) & (most < min_length)
    if is_short.any():
        at = int(np.argmax(is_short))
        raise ConstraintError(
            f"the longest text that satisfies the constraints{_after(prefixes[at])} takes "
            f"{most[at]} tokens before its closing boundary (expected at least min_length = "
            f"{min_length}); lower min_length"
        )


def _lacking(acceptor: Acceptor, pieces: Sequence[bytes]) -> str:
    """Return characters that a text needs but the vocabulary lacks, for an error message.

    Of all texts that satisfy the constraints, the function looks at one with the fewest bytes that
    no token contains. The result is empty if the acceptor is too large to search, or if missing
    characters are not the reason why the model cannot write such a text.
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
    """Return the distinct characters on the way from the initial state to `state`.

    Args:
        came: For each state, the state before it on the way and the byte that led from there.
        state: The state where the way ends.
    """
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
    """Return a text as UTF-8; a lone surrogate becomes bytes that occur in no valid UTF-8 text."""
    return text.encode("utf-8", "surrogatepass")
