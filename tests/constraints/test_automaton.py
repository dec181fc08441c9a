from itertools import product as tuples

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.constraints import acceptors
from rnnlm.constraints.automaton import Automaton, farthest, from_acceptor, unrestricted, walk
from rnnlm.errors import ConstraintError
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.tokens import BOUNDARY_ID
from tests.constraints.test_acceptors import may_end, patterns
from tests.constraints.walking import accepted

PIECES = [b"", b"", b"a", b"b", b"ab", b"ba", b"\xc3", b"\xa9a"]
"""The bytes of each token: the boundary, the unknown token, and pieces of words, some of which
split a UTF-8 character."""


def compiled(pattern: str, pieces: list[bytes] = PIECES) -> Automaton | None:
    acceptor = acceptors.matching(pattern)
    return from_acceptor(acceptor, pieces) if acceptor else None


@given(patterns)
def test_tokens_are_accepted_exactly_where_their_bytes_are(pattern: str):
    acceptor, automaton = acceptors.matching(pattern), compiled(pattern)
    found = {tuple(ids) for ids in accepted(automaton, 3)}
    expected = set()
    for count in range(4):
        for ids in tuples(range(2, len(PIECES)), repeat=count):
            text = b"".join(PIECES[token] for token in ids).decode("utf-8", "surrogateescape")
            if not any("\ud800" <= c <= "\udfff" for c in text) and may_end(acceptor, text):
                expected.add(ids)
    assert found == expected


@given(patterns)
def test_distances_are_the_fewest_and_most_tokens_to_the_end(pattern: str):
    automaton = compiled(pattern)
    if automaton is None:
        return
    successors, distance = automaton.successors, automaton.distance
    assert successors.dtype == distance.dtype == np.int32
    assert successors.flags.c_contiguous
    is_over = (successors < 0).all(axis=1)
    assert (is_over == (distance == 0)).all()
    most = farthest(automaton)
    for state in np.flatnonzero(~is_over):
        after = np.unique(successors[state][successors[state] >= 0])
        assert distance[state] == 1 + distance[after].min()
        is_endless = (most[after] < 0).any()
        assert most[state] == (-1 if is_endless else 1 + most[after].max())
    ends = successors[:, BOUNDARY_ID]
    assert (distance[ends[ends >= 0]] == 0).all()


def test_the_length_of_the_longest_text_is_known_if_it_is_bounded():
    for pattern, most in (("a{3}", 4), ("a{0,3}b?", 5), ("a*", -1), ("(?:a*b){0}a", 2)):
        automaton = compiled(pattern, [b"", b"a", b"b"])
        assert automaton
        assert farthest(automaton)[automaton.start] == most


def test_a_text_ends_with_the_token_that_completes_a_stop_string():
    automaton = from_acceptor(acceptors.until([b"ba"]), [b"", b"a", b"b", b"bab"])
    assert automaton
    state = automaton.run([1, 3])
    assert state is not None
    assert automaton.distance[state] == 0
    assert automaton.run([1, 3, 1]) is None
    assert automaton.run([1, 2, 2]) is not None


def test_there_is_no_automaton_if_no_text_can_end():
    assert compiled("a*c") is None
    assert compiled("[a&&b]") is None


@given(st.lists(st.text("abc", max_size=5), min_size=1))
def test_a_batch_of_documents_walks_like_single_ones(texts: list[str]):
    tokenizer = CharacterTokenizer("abc")
    automaton = compiled("a*b?[ac]{0,2}", tokenizer.token_bytes())
    assert automaton
    walks = walk(automaton, tokenizer.encode_batch(pa.array(texts, pa.large_string())))
    for text, state, length in zip(texts, walks.states, walks.lengths, strict=True):
        ids = tokenizer.encode(text).tolist()
        assert automaton.run(ids) == (None if state < 0 else state)
        assert automaton.run(ids[:length]) is not None
        assert state >= 0 or automaton.run(ids[: length + 1]) is None


def test_a_table_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    short, long = acceptors.holding(b"a"), acceptors.holding(b"a" * 30)
    monkeypatch.setattr(acceptors, "MOST_ENTRIES", 10 * len(PIECES))
    assert from_acceptor(short, PIECES)
    with pytest.raises(ConstraintError, match="smaller repetitions"):
        from_acceptor(long, PIECES)


def test_the_automaton_without_constraints_equals_the_compiled_one():
    pieces = [b"", b"a", b"", b"bc", "é".encode()[:1]]
    ours, theirs = unrestricted(pieces), from_acceptor(acceptors.anything(), pieces)
    assert theirs is not None
    assert np.array_equal(ours.successors, theirs.successors)
    assert np.array_equal(ours.distance, theirs.distance)
    assert ours.start == theirs.start
