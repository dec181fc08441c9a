"""Acceptors: automata that read the UTF-8 bytes of a text and accept it or not.

Each constraint on texts becomes one acceptor; `product` combines two acceptors into one that
requires both. `rnnlm.constraints.automaton` turns the result into an automaton over tokens.
"""

from __future__ import annotations

import re
import warnings
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import shorten
from rnnlm.constraints import regex
from rnnlm.errors import ConstraintError

MOST_ENTRIES = 1 << 26
"""Most entries of a table; it then takes 256 MiB."""
MOST_PAIRS = 1 << 30
"""Most pairs of states of two acceptors that `product` considers; it takes a byte for each."""
LONGEST_STRING = 1000
"""Most bytes of a banned, required or stop string."""
SETTLED = np.iinfo(np.int32).max
"""The value of `Acceptor.age` in an acceptor without a required string."""
_BYTES = 256
_BLOCK = 4096
_END = 0
"""The byte that marks the end of a text in a pattern while the pattern is compiled."""
_MARKS = re.compile(r"\\.|\[\^?\]?|[\]^$]", re.DOTALL)
"""Matches the parts of a pattern that matter for finding its anchors: escapes, the brackets of
character classes, and the anchors themselves."""
_ANCHORS = frozenset({"^", "$", *(f"\\{letter}" for letter in "AzZbB<>")})


@dataclass(frozen=True)
class Acceptor:
    """A deterministic automaton over bytes. Its initial state is 0.

    Attributes:
        successors: The state that follows after each byte, -1 if the byte is forbidden; int32,
            shape (states, 256).
        may_end: Whether the text may end in the state; shape (states,).
        age: Number of bytes since the last of the required strings was completed; -1 if one is
            still missing. int32, shape (states,).
        stop: Length in bytes of the stop string that the last byte completed, 0 if it completed
            none; int32, shape (states,).
    """

    successors: NDArray[np.int32]
    may_end: NDArray[np.bool_]
    age: NDArray[np.int32]
    stop: NDArray[np.int32]


def anything() -> Acceptor:
    """Return an acceptor for every text."""
    return _plain(np.zeros((1, _BYTES), dtype=np.int32))


def matching(pattern: str) -> Acceptor | None:
    """Return an acceptor for the texts that a regular expression matches from beginning to end.

    Returns None if the expression matches no text.

    Args:
        pattern: The expression; see `bare_pattern` for its dialect. It cannot match the NUL byte.

    Raises:
        ConstraintError: The pattern is invalid, or uses an unsupported feature.
    """
    # The library matches leftmost-first: `a|ab` would never match `ab`, because a state in which a
    # match may end loses its continuations. So a NUL byte is appended to the pattern. A text may
    # end in the states in which a NUL byte would complete a match.
    bare = _bare(pattern)
    table = _compiled(pattern, bare, f"(?:{bare})\\x00")
    if table is None:
        return None
    check_size(len(table.successors), _BYTES)
    may_end = np.isin(table.successors[:, _END], table.final)
    kept = np.setdiff1d(np.arange(len(table.successors)), table.final)
    number = np.full(len(table.successors) + 1, -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    successors = number[table.successors[kept]]
    successors[:, _END] = -1
    return smallest(_plain(successors, may_end[kept]))


def bare_pattern(pattern: str) -> str:
    """Return a regular expression that keeps its meaning when it is embedded in a longer one.

    Args:
        pattern: An expression in the dialect of Rust's `regex`: it may have Unicode classes, but
            no look-around, back-references or word boundaries. `^` is allowed only at its
            beginning and `$` only at its end; both are redundant there, and are removed.

    Raises:
        ConstraintError: The pattern is invalid, or uses an unsupported feature.
    """
    bare = _bare(pattern)
    _compiled(pattern, bare)
    return bare


def without(strings: Iterable[bytes]) -> Acceptor:
    """Return an acceptor for the texts that contain none of `strings`.

    The strings must not be empty.
    """
    successors, ending = _endings(strings)
    successors[ending[successors] > 0] = -1
    return _plain(successors)


def holding(string: bytes, oldest: int = 0) -> Acceptor:
    """Return an acceptor for the texts that contain a string.

    Args:
        string: The required string; not empty.
        oldest: Length of the longest stop string in bytes. `Acceptor.age` is counted up to here.
    """
    successors, _ = _endings([string])
    missing = len(string)
    after = np.minimum(np.arange(missing + 1, missing + 2 + oldest), missing + oldest)
    rows = np.repeat(after[:, None], _BYTES, axis=1).astype(np.int32)
    age = np.concatenate([np.full(missing, -1), np.arange(oldest + 1)]).astype(np.int32)
    table = np.concatenate([successors[:missing], rows])
    return Acceptor(table, age >= 0, age, np.zeros_like(age))


def until(strings: Iterable[bytes]) -> Acceptor:
    """Return an acceptor for the texts that end with the first stop string in them, or have none.

    Args:
        strings: The stop strings; not empty.
    """
    successors, ending = _endings(strings)
    return Acceptor(successors, ending == 0, np.full_like(ending, SETTLED), ending)


def product(first: Acceptor, second: Acceptor) -> Acceptor:
    """Return an acceptor for the texts that both acceptors accept; it has only reachable states.

    A stop string ends the text. It may be completed only if all required strings were completed
    before it began. Therefore the acceptor with the stop strings must be combined last.

    Raises:
        ConstraintError: The table would have more than `MOST_ENTRIES`.
    """
    pairs_in_all = len(first.successors) * len(second.successors)
    if pairs_in_all > MOST_PAIRS:
        raise ConstraintError(
            f"the constraints combine {len(first.successors):,} × {len(second.successors):,} "
            f"states (expected at most {MOST_PAIRS:,} pairs); use fewer or shorter strings, or a "
            "grammar with smaller repetitions"
        )
    seen = np.zeros(pairs_in_all, dtype=np.bool_)
    seen[0] = True
    frontier, count = np.zeros(1, dtype=np.int64), 1
    while len(frontier):
        check_size(count, _BYTES)
        blocks = (frontier[n : n + _BLOCK] for n in range(0, len(frontier), _BLOCK))
        found = [np.unique(_pairs(first, second, block)) for block in blocks]
        reached = np.unique(np.concatenate(found))
        reached = reached[reached >= 0]
        frontier = reached[~seen[reached]]
        seen[frontier] = True
        count += len(frontier)
    pairs = np.flatnonzero(seen)
    successors = np.empty((len(pairs), _BYTES), dtype=np.int32)
    for start in range(0, len(pairs), _BLOCK):
        after = _pairs(first, second, pairs[start : start + _BLOCK])
        following = np.where(after < 0, -1, np.searchsorted(pairs, after))
        successors[start : start + _BLOCK] = following
    one, two = np.divmod(pairs, len(second.successors))
    stop = np.maximum(first.stop[one], second.stop[two])
    may_end = first.may_end[one] & second.may_end[two] & (stop == 0)
    return Acceptor(successors, may_end, np.minimum(first.age[one], second.age[two]), stop)


def smallest(acceptor: Acceptor) -> Acceptor:
    """Return the acceptor with the fewest states that accepts the same texts.

    The states are first divided into classes with equal `may_end`, `age` and `stop`. A class is
    split if the same byte leads from its states to different classes; this is repeated until no
    class can be split. Each class then becomes one state.
    Source: Moore 1956, "Gedanken-experiments on sequential machines".
    """
    differing = np.unique(acceptor.successors, axis=1)
    marks = np.stack([acceptor.may_end, acceptor.age, acceptor.stop], axis=1)
    factors = np.random.default_rng(0).integers(1 << 63, size=differing.shape[1], dtype=np.int64)
    count, (kinds, kind) = 0, np.unique(marks, axis=0, return_inverse=True)
    while len(kinds) > count:
        count = len(kinds)
        after = np.where(differing < 0, -1, kind[differing])
        hashes = (after * factors).sum(axis=1)  # modulo 2⁶⁴; sorting the rows would be slow
        _, hashed = np.unique(hashes, return_inverse=True)
        kinds, kind = np.unique(kind * len(hashes) + hashed, return_inverse=True)
    _, chosen = np.unique(kind, return_index=True)
    assert (after == after[chosen[kind]]).all()  # no two hashes were equal by chance
    chosen.sort()  # keeps state 0 first
    number = np.empty(count, dtype=np.int32)
    number[kind[chosen]] = np.arange(count)
    rows = acceptor.successors[chosen]
    successors = np.where(rows < 0, -1, number[kind[rows]]).astype(np.int32)
    return Acceptor(
        successors, acceptor.may_end[chosen], acceptor.age[chosen], acceptor.stop[chosen]
    )


def check_size(states: int, columns: int) -> None:
    """Check that a table is not too large.

    Raises:
        ConstraintError: The table would have more than `MOST_ENTRIES`.
    """
    if states * columns > MOST_ENTRIES:
        raise ConstraintError(
            f"the constraints need a table of over {states:,} states × {columns:,} tokens or bytes "
            f"(expected at most {MOST_ENTRIES:,} entries); use fewer required strings, shorter "
            "ones, or a grammar with smaller repetitions"
        )


def _pairs(first: Acceptor, second: Acceptor, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pair of states that follows each pair after each byte.

    A state of the first acceptor and one of the second are written as one number:
    `state of first * number of states of second + state of second`.

    Args:
        first: The first acceptor.
        second: The second acceptor.
        pairs: The pairs to start from, shape (pairs,).

    Returns:
        Shape (pairs, 256); -1 where a byte is forbidden.
    """
    width = len(second.successors)
    one, two = np.divmod(pairs, width)
    a, b = first.successors[one], second.successors[two]
    after = a.astype(np.int64) * width + b
    stop = second.stop[b]
    is_early = (stop > 0) & (np.minimum(first.age[a], second.age[b]) < stop)
    after[(a < 0) | (b < 0) | is_early] = -1
    after[second.stop[two] > 0] = -1
    return after


def _plain(successors: NDArray[np.int32], may_end: NDArray[np.bool_] | None = None) -> Acceptor:
    """Return an acceptor that has neither required strings nor stop strings."""
    states = len(successors)
    may_end = np.ones(states, dtype=np.bool_) if may_end is None else may_end
    age = np.full(states, SETTLED, dtype=np.int32)
    return Acceptor(successors, may_end, age, np.zeros(states, dtype=np.int32))


def _endings(strings: Iterable[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return an automaton that finds all occurrences of some strings in a text.

    Its states are the prefixes of the strings; state 0 is the empty one. After some text, the
    automaton is in the state of the longest such prefix that the text ends with.

    Returns:
        The successors, shape (states, 256); and for each state the length in bytes of the longest
        string that its prefix ends with, 0 if there is none, shape (states,).

    Source: Aho and Corasick 1975, with the failure links resolved into the table.
    """
    longer, whole = _tree({*strings})
    successors = np.zeros((len(longer), _BYTES), dtype=np.int32)
    ending = np.zeros(len(longer), dtype=np.int32)
    shorter = [0] * len(longer)
    waiting = deque([0])
    while waiting:
        place = waiting.popleft()
        before = shorter[place]
        ending[place] = whole.get(place) or ending[before]
        successors[place] = successors[before]
        for byte, after in longer[place].items():
            shorter[after] = int(successors[before, byte]) if place else 0
            successors[place, byte] = after
            waiting.append(after)
    return successors, ending


def _tree(strings: Collection[bytes]) -> tuple[list[dict[int, int]], dict[int, int]]:
    """Return the prefixes of some strings as a tree whose root is the empty prefix, number 0.

    Returns:
        For each prefix, the prefixes that are one byte longer, by that byte; and for each prefix
        that is a whole string, its length in bytes.

    Raises:
        ConstraintError: A string is longer than `LONGEST_STRING`, or there are too many prefixes.
    """
    longer: list[dict[int, int]] = [{}]
    whole: dict[int, int] = {}
    for string in sorted(strings):
        if len(string) > LONGEST_STRING:
            raise ConstraintError(
                f"a banned, required or stop string has {len(string):,} bytes (expected at most "
                f"{LONGEST_STRING:,}); shorten it"
            )
        place = 0
        for byte in string:
            if byte not in longer[place]:
                longer[place][byte] = len(longer)
                longer.append({})
            place = longer[place][byte]
        whole[place] = len(string)
        check_size(len(longer), _BYTES)
    return longer, whole


def _bare(pattern: str) -> str:
    """Return a pattern without the anchors at its ends; see `bare_pattern`.

    Raises:
        ConstraintError: There are other anchors in the pattern.
    """
    bare = _without_anchors(pattern)
    if anchor := next(_anchors(bare), ""):
        raise ConstraintError(
            f"the grammar {shorten(pattern, 80)} has {anchor!r} inside (expected no word "
            "boundaries, and anchors only at its ends, as it must match the whole text); remove it"
        )
    return bare


def _compiled(pattern: str, bare: str, whole: str = "") -> regex.Table | None:
    """Check an expression, and compile it; return None if it matches nothing.

    Args:
        pattern: The user's expression, for error messages.
        bare: The expression without anchors. It is checked alone: within a group, `a)(b` would be
            valid, as `ab`.
        whole: The expression to compile, which contains `bare`; empty to compile `bare`.

    Raises:
        ConstraintError: The library rejects the expression, or compiling it exceeds the limits.
    """
    try:
        return regex.compile_last((bare, whole) if whole else (bare,))
    except regex.RefusedError as error:
        raise ConstraintError(_refusal(pattern, str(error))) from error


def _anchors(pattern: str) -> Iterator[str]:
    """Yield the anchors and word boundaries of a pattern that are outside character classes."""
    depth = 0
    for mark in _MARKS.findall(pattern):
        if mark.startswith("["):
            depth += 1
        elif mark == "]":
            depth = max(0, depth - 1)
        elif mark in _ANCHORS and not depth:
            yield mark


def _without_anchors(pattern: str) -> str:
    pattern = pattern.removeprefix("^")
    body = pattern.removesuffix("$")
    is_escaped = (len(body) - len(body.rstrip("\\"))) % 2 == 1
    return pattern if is_escaped else body


def _refusal(pattern: str, reason: str) -> str:
    shown = shorten(pattern, 80)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `re` warns about syntax that may change
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"the grammar {shown} is not a regular expression: {error}; correct it"
    return (
        f"the grammar {shown} cannot be compiled ({shorten(reason, 200)}); remove look-around, "
        "back-references and comments"
    )
