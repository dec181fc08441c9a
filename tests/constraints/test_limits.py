"""Grammars and strings that would take minutes and gigabytes are refused; the limit is named."""

import random
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.constraints import acceptors, compile_constraints, regex, rules_of
from rnnlm.errors import ConstraintError, TokenizerError
from rnnlm.tokenizer import BPETokenizer, CharacterTokenizer

LETTERS = CharacterTokenizer("ab \n")


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "CPU_SECONDS", 1)


@pytest.mark.usefixtures("short_limit")
@pytest.mark.parametrize(
    "grammar",
    ["a{4294967295}", "(.{1,1000}){1,1000}", ".*a.{20}", r"\w{1,1000}", "(?:a{1,999}){99,999}"],
)
def test_a_grammar_that_explodes_is_refused_with_its_limits(grammar: str):
    began = time.process_time()
    with pytest.raises(
        ConstraintError, match=r"at most .* s of processor time and 1 GiB"
    ) as caught:
        compile_constraints(LETTERS, grammar=grammar, max_length=10)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "grammar", ["(" * 5000 + ")" * 5000, "a{99999999999}", "[" * 3000, "(?P<é", "\ud800", "(*)"]
)
def test_a_broken_grammar_is_refused_in_one_short_line(grammar: str):
    with pytest.raises(ConstraintError) as caught:
        compile_constraints(LETTERS, grammar=grammar, max_length=10)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_a_grammar_that_is_too_long_is_refused():
    with pytest.raises(ConstraintError, match="at most 100,000"):
        compile_constraints(LETTERS, grammar="a" * 200_000, max_length=10)


@pytest.mark.parametrize("kind", ["banned", "required", "stop"])
def test_one_endless_string_is_refused(kind: str):
    with pytest.raises(ConstraintError, match=r"100,000 bytes .expected at most 1,000"):
        compile_constraints(LETTERS, **{kind: ["ab" * 50_000]}, max_length=10)


def test_the_longest_string_and_a_long_list_of_strings_are_accepted():
    words = [format(number, "b").replace("0", "a").replace("1", "b") for number in range(9000)]
    assert compile_constraints(LETTERS, banned=["ab" * 500, *words[-100:]], max_length=10)
    accepted = acceptors.without(f"{number} word".encode() for number in range(9000))
    assert len(accepted.successors) > 9000


def test_too_many_strings_are_refused():
    with pytest.raises(ConstraintError, match="expected at most"):
        acceptors.without(random.Random(number).randbytes(20) for number in range(20_000))


def test_constraints_whose_product_is_too_large_are_refused():
    one = acceptors.without(f"{number:b}".encode() for number in range(40_000, 80_000))
    with pytest.raises(ConstraintError, match="pairs"):
        acceptors.product(one, one)


def test_a_prefix_that_ends_in_an_endless_word_is_healed_or_fed_whole():
    tokenizer = BPETokenizer.learn(["ab " * 50, "ba " * 50], 270)
    rules = rules_of(tokenizer, ["a" * 3000, "a " + "a" * 100], None, 10_000)
    assert rules.heads == ("a" * 3000, "a")


def test_a_prefix_with_half_a_character_is_refused():
    with pytest.raises(TokenizerError, match="never saw in training"):
        compile_constraints(LETTERS, banned=["x"], prefixes=["\ud800"], max_length=10)


@given(st.text("ab*+?()[]{}|^$.\\,0129-é\n", max_size=30))
def test_any_grammar_is_compiled_or_refused(grammar: str):
    with suppress(ConstraintError):
        compile_constraints(LETTERS, grammar=grammar, max_length=10)
