import re
import string
from itertools import product as tuples

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rnnlm.constraints import compile_constraints, stop_pattern
from rnnlm.errors import ConstraintError, TokenizerError
from rnnlm.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
)
from tests.constraints.walking import accepted, sample

LETTERS = CharacterTokenizer("abc")
PROSE = ["It was a dark and stormy night; the rain didn't stop. \n\nIt fell 10 20 times: é."] * 5
TOKENIZERS: dict[str, Tokenizer] = {
    "character": CharacterTokenizer(string.printable + "é"),
    "byte": ByteTokenizer(),
    "bpe": BPETokenizer.learn(PROSE, 320),
    "word": WordTokenizer.learn(PROSE, "pieces", 1000, 1),
}
all_tokenizers = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
strings = st.lists(st.text("abc", min_size=1, max_size=3), max_size=2)


def cut(stop: list[str], text: str) -> str:
    return re.sub(stop_pattern(stop), "", text) if stop else text


@given(strings, strings, strings)
def test_accepted_texts_are_exactly_those_that_fit_the_constraints(
    banned: list[str], required: list[str], stop: list[str]
):
    assume(not any(other in text for text in required for other in banned + stop))
    asked = {"banned": banned, "required": required, "stop": stop}
    expected = set()
    for count in range(6):
        for letters in tuples("abc", repeat=count):
            text = "".join(letters)
            is_over = not any(one in text[:-1] for one in stop)
            shown = cut(stop, text)
            is_held = all(one in shown for one in required)
            if is_over and is_held and not any(one in text for one in banned):
                expected.add(text)
    try:
        automaton = compile_constraints(LETTERS, **asked, max_length=100)
    except ConstraintError:
        assert not expected
        return
    if automaton is None:
        assert not any(asked.values())
        return
    assert {LETTERS.decode(ids) for ids in accepted(automaton, 5)} == expected


@all_tokenizers
def test_walks_end_in_time_and_fit_the_constraints(tokenizer: Tokenizer):
    grammar = r"(?s)It.*[.!]"
    banned, required = ["st", "\n\n\n", "fell "], ["rain", "It fe"]
    automaton = compile_constraints(
        tokenizer,
        grammar=grammar,
        banned=banned,
        required=required,
        prefixes=["It was", "It"],
        max_length=60,
    )
    assert automaton
    rng = np.random.default_rng(1)
    for n in range(60):
        prefix = tokenizer.encode(["It was", "It"][n % 2]).tolist()
        ids = sample(automaton, rng, int(rng.integers(40, 80)), 20, prefix)
        text = tokenizer.decode([*prefix, *ids])
        assert tokenizer.unknown_id not in ids
        assert len(ids) >= 20
        assert re.fullmatch(grammar, text)
        assert all(one in text for one in required)
        assert not any(one in text for one in banned)


@all_tokenizers
def test_a_text_ends_with_its_first_stop_string(tokenizer: Tokenizer):
    stop, required = [". ", "night", "a", "rain d"], ["n"]
    automaton = compile_constraints(
        tokenizer, stop=stop, required=required, prefixes=["It"], max_length=60
    )
    assert automaton
    rng = np.random.default_rng(1)
    stopped = 0
    prefix = tokenizer.encode("It").tolist()
    for _ in range(100):
        ids = sample(automaton, rng, 60, 0, prefix)
        text = tokenizer.decode([*prefix, *ids])
        shown = cut(stop, text)
        assert not any(one in shown for one in stop)
        assert all(one in shown for one in required)
        assert not any(one in tokenizer.decode([*prefix, *ids[:-1]]) for one in stop)
        stopped += shown != text
    assert stopped > 10


@given(st.lists(st.text("ab. \n*", min_size=1, max_size=3), min_size=1), st.text("ab. \n*"))
def test_a_text_is_cut_at_its_first_stop_string(stop: list[str], text: str):
    ends = [n for n in range(len(text) + 1) if text[:n].endswith(tuple(stop))]
    shown = text
    if ends:
        shown = text[: ends[0] - max(len(s) for s in stop if text[: ends[0]].endswith(s))]
    assert cut(stop, text) == shown
    column = pa.array([text], pa.large_string())
    assert pc.replace_substring_regex(column, stop_pattern(stop), "").to_pylist() == [shown]


@all_tokenizers
def test_a_grammar_continues_from_a_prefix(tokenizer: Tokenizer):
    asked = {"grammar": "color", "max_length": 30}
    automaton = compile_constraints(tokenizer, **asked, prefixes=["It rain 10 20"])
    assert automaton
    rng = np.random.default_rng(1)
    prefix = tokenizer.encode("It rain 10 20").tolist()
    texts = {tokenizer.decode([*prefix, *sample(automaton, rng, 30, 0, prefix)]) for _ in range(9)}
    assert all(re.fullmatch(r"It rain 10 20.* \d+", text) for text in texts)


def test_no_constraints_need_no_automaton():
    assert compile_constraints(LETTERS, max_length=5, min_length=3, prefixes=["a"]) is None


def test_words_between_spaces_cannot_be_constrained():
    tokenizer = WordTokenizer.learn(PROSE, "whitespace", 100, 1)
    with pytest.raises(ConstraintError, match="pieces"):
        compile_constraints(tokenizer, banned=["a"], max_length=5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"grammar": "a", "stop": ["b"]}, "leave one of them out"),
        ({"grammar": "(a"}, "not a regular expression: missing"),
        ({"grammar": "a+z?y|[ax]z"}, "vocabulary lacks 'y'"),
        ({"grammar": "é"}, "vocabulary lacks 'é'"),
        ({"grammar": "[a&&b]"}, "this model cannot produce any text"),
        ({"grammar": "[ab]+", "required": ["c"]}, "required 'c'"),
        ({"banned": [""]}, "banned string is empty"),
        ({"stop": [""]}, "stop string is empty"),
        ({"banned": ["b"], "required": ["abc"]}, "'b' is part of the required string 'abc'"),
        ({"stop": ["b"], "required": ["abc"]}, "'b' is part of the required string 'abc'"),
        ({"banned": ["b"], "prefixes": ["a", "ab"]}, "'b' is part of the prefix 'ab'"),
        ({"stop": ["b"], "prefixes": ["a", "ab"]}, "'b' is part of the prefix 'ab'"),
        ({"grammar": "ab*", "prefixes": ["a", "abc"]}, "'abc' .*: 'c' must not follow 'ab'"),
        ({"grammar": "a{20}"}, "takes 21 tokens"),
        ({"grammar": "a{9}", "prefixes": ["aaaa", "a"], "max_length": 8}, "'a' takes 9 tokens"),
        ({"grammar": "a{3,4}", "min_length": 5}, "takes 4 tokens .* lower min_length"),
    ],
)
def test_impossible_constraints_are_refused_with_the_reason(asked: dict, words: str):
    with pytest.raises(ConstraintError, match=words) as caught:
        compile_constraints(LETTERS, **{"max_length": 10, **asked})
    assert "\n" not in str(caught.value)


def test_a_prefix_outside_the_vocabulary_is_a_tokenizer_error():
    with pytest.raises(TokenizerError, match="'Z'"):
        compile_constraints(LETTERS, banned=["b"], prefixes=["a", "aZ"], max_length=10)


def test_lengths_that_just_fit_are_accepted():
    assert compile_constraints(LETTERS, grammar="a{3,4}", min_length=4, max_length=5)
    assert compile_constraints(LETTERS, grammar="a{9}", prefixes=["a"], max_length=9)
    assert compile_constraints(LETTERS, grammar="a{3}b*", min_length=50, max_length=60)
