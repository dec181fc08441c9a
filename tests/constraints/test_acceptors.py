import re
from functools import reduce
from itertools import product as tuples

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.constraints import acceptors
from rnnlm.constraints.acceptors import Acceptor
from rnnlm.errors import ConstraintError

some_strings = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4)
patterns = st.recursive(
    st.sampled_from(["a", "b", "[^a]", ".", "", "é"]),
    lambda part: (
        st.tuples(part, part).map("".join)
        | st.tuples(part, part).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | st.tuples(part, st.sampled_from(["*", "+", "?", "*?", "??", "{2}", "{1,2}?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        )
    ),
    max_leaves=8,
)


def texts(alphabet: str, most: int) -> list[str]:
    return ["".join(t) for n in range(most + 1) for t in tuples(alphabet, repeat=n)]


def state_after(acceptor: Acceptor, text: str) -> int:
    state = 0
    for byte in text.encode():
        state = int(acceptor.successors[state, byte]) if state >= 0 else -1
    return state


def may_end(acceptor: Acceptor | None, text: str) -> bool:
    state = state_after(acceptor, text) if acceptor else -1
    return bool(state >= 0 and acceptor and acceptor.may_end[state])


@given(patterns)
def test_a_pattern_accepts_exactly_its_full_matches(pattern: str):
    acceptor = acceptors.matching(pattern)
    for text in texts("abé\n", 4):
        assert may_end(acceptor, text) is (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^a|b$", ["a", "b"], ["ab", ""]),
        (r"a\$", ["a$"], ["a", "a\\"]),
        (r"a\\$", ["a\\"], ["a\\$"]),
        (r"\d(?:\.\d)?", ["1", "1.2", "٣"], ["1.", ""]),
        ("(?i)é+", ["éÉ"], ["é\x00", "\x00"]),
        (r"[$^]\^[]$](?:\$|[a[^$]])", ["$^]$", "^^$a"], ["$^]", "a"]),
        (r"[^a]*", ["", "b", "\n"], ["\x00", "b\x00"]),
    ],
)
def test_patterns_by_example(pattern: str, good: list[str], bad: list[str]):
    acceptor = acceptors.matching(pattern)
    assert [may_end(acceptor, text) for text in good + bad] == [True] * len(good) + [False] * len(
        bad
    )


def test_a_pattern_that_matches_nothing_has_no_acceptor():
    assert acceptors.matching("[a&&b]") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "unterminated subpattern"),
        ("a)(b", "unbalanced parenthesis"),
        ("a)|(?:b", "unbalanced parenthesis"),
        ("*", "nothing to repeat"),
        (r"(a)\1", "back-references"),
        ("a(?=b)", "look-around"),
        ("(?x)a # b", "comments"),
        ("(?x)a # b", re.escape("the grammar '(?x)a # b' cannot be compiled (")),
        (r"(a)\1", re.escape(r"the grammar '(a)\\1' cannot be compiled ('Failed to build")),
        ("(a", re.escape("the grammar '(a' is not a regular expression: missing )")),
    ],
)
def test_an_invalid_pattern_is_refused_with_the_reason(pattern: str, words: str):
    with pytest.raises(ConstraintError, match=words):
        acceptors.matching(pattern)


@pytest.mark.parametrize(
    ("pattern", "anchor"),
    [
        ("ab$|bc", "$"), ("^ab|^bc", "^"), ("(ab|bc$)", "$"), ("a^b", "^"), (r"\ba", r"\b"),
        (r"[$^]\Bb", r"\B"), (r"\Aa\z", r"\A"), (r"[]$]a$b", "$"), (r"[a[^b]$]+(?:$)", "$"),
        (r"[a[b[c]$]$]$d", "$"), (r"\]]$a[b]", "$"), (r"[a]]]^[$]", "^"),
    ],
)  # fmt: skip
def test_an_anchor_inside_a_pattern_is_refused_by_name(pattern: str, anchor: str):
    with pytest.raises(ConstraintError, match=re.escape(f"has {anchor!r} inside")):
        acceptors.matching(pattern)


@given(some_strings)
def test_banned_strings_are_in_no_text(strings: list[str]):
    acceptor = acceptors.without(string.encode() for string in strings)
    for text in texts("abc", 6):
        assert (state_after(acceptor, text) < 0) is any(string in text for string in strings)


@given(some_strings)
def test_required_strings_are_all_in_every_text(strings: list[str]):
    parts = [acceptors.holding(string.encode()) for string in strings]
    acceptor = reduce(acceptors.product, parts)
    for text in texts("abc", 6):
        assert may_end(acceptor, text) is all(string in text for string in strings)


@given(st.text("ab", min_size=1, max_size=4), some_strings)
def test_a_stop_string_ends_a_text_only_after_the_required_string(
    required: str, strings: list[str]
):
    oldest = max(map(len, strings))
    acceptor = acceptors.product(
        acceptors.holding(required.encode(), oldest),
        acceptors.until(string.encode() for string in strings),
    )
    for text in texts("abc", 6):
        state = state_after(acceptor, text)
        stops = [string for string in strings if text.endswith(string)]
        if any(string in text[:-1] for string in strings):
            assert state < 0
        elif stops:
            shown = text[: -max(map(len, stops))]
            assert (state >= 0) is (required in shown)
            assert state < 0 or acceptor.stop[state] == max(map(len, stops))
        else:
            assert acceptor.stop[state] == 0
            assert acceptor.may_end[state] == (required in text)


@given(patterns, some_strings)
def test_a_product_accepts_what_both_factors_accept(pattern: str, strings: list[str]):
    one, two = acceptors.matching(pattern), acceptors.without(s.encode() for s in strings)
    if one is not None:
        both = acceptors.product(one, two)
        for text in texts("ab", 6):
            assert may_end(both, text) is (may_end(one, text) and may_end(two, text))


def test_a_product_does_not_depend_on_how_many_pairs_are_followed_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
):
    factors = [acceptors.holding(b"aba", 2), acceptors.until([b"bab", b"cc"])]
    whole = acceptors.product(*factors)
    monkeypatch.setattr(acceptors, "_BLOCK", 2)
    parts = acceptors.product(*factors)
    assert len(whole.successors) > 4
    for one, two in zip(vars(whole).values(), vars(parts).values(), strict=True):
        assert (one == two).all()


def test_a_string_that_is_too_long_is_refused():
    longest = acceptors.LONGEST_STRING
    acceptors.without([b"a" * longest])
    with pytest.raises(ConstraintError, match=r"string has 1,001 bytes .expected at most 1,000"):
        acceptors.without([b"a" * (longest + 1)])


@given(patterns, some_strings)
def test_a_minimised_acceptor_accepts_the_same_and_is_minimal(pattern: str, strings: list[str]):
    given_one = acceptors.matching(pattern)
    stops = acceptors.until(string.encode() for string in strings)
    acceptor = acceptors.product(given_one, stops) if given_one else stops
    small = acceptors.smallest(acceptor)
    for text in texts("ab", 5):
        one, two = state_after(acceptor, text), state_after(small, text)
        assert (one < 0) is (two < 0)
        if one >= 0:
            assert acceptor.may_end[one] == small.may_end[two]
            assert acceptor.stop[one] == small.stop[two]
    assert len(acceptors.smallest(small).successors) == len(small.successors)


def test_a_pattern_has_the_fewest_possible_states():
    for pattern, states in (("aab|bab|(?:a|b)ab", 4), ("a*", 1), ("(?:a|b)*a(?:a|b){2}", 8)):
        acceptor = acceptors.matching(pattern)
        assert acceptor
        assert len(acceptor.successors) == states


def test_a_product_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acceptors, "MOST_ENTRIES", 1 << 16)
    parts = [acceptors.holding(bytes(range(start, start + 9))) for start in range(0, 250, 10)]
    with pytest.raises(ConstraintError, match="fewer required strings"):
        reduce(acceptors.product, parts)
