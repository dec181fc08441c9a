"""Test generation from prefixes that end inside a word piece."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm import checkpoint, tokenizer
from rnnlm.config import GenerationConfig, TokenizerConfig, from_values
from rnnlm.constraints import compile_constraints, rules_of
from rnnlm.engine.running import Engine, open_slots, run
from rnnlm.engine.texts import Decoder, rows
from rnnlm.errors import ConstraintError
from rnnlm.generation.job import generate
from rnnlm.models import build
from tests.generation.jobs import table

TEXT = "the cold world was old and the wolf told the world a word about the cold wolves " * 30
TOKENIZER = tokenizer.learn(TokenizerConfig(kind="bpe", vocab_size=330), [TEXT])
EXPERIMENT = from_values(
    {
        "name": "x",
        "corpus": {"source": "x"},
        "tokenizer": {"kind": "bpe", "vocab_size": 330},
        "model": {"hidden_size": 12, "embedding_size": 8},
    },
    (),
    origin="x",
)
ENGINES = [Engine("native", "fp32"), Engine("torch", "fp32"), Engine("model", "fp32")]
PREFIXES = ("the wor", "the ", "wo", "", "the cold world", "the\n", "old, ol")


def model():
    torch.manual_seed(3)
    return build(EXPERIMENT.model, TOKENIZER.vocab_size).eval()


def texts(prefixes: tuple[str, ...], how: Engine, count: int = 40, **rules: object) -> list[str]:
    config = GenerationConfig(temperature=1.0, max_length=12, seed=2)
    automaton = compile_constraints(TOKENIZER, prefixes=prefixes, max_length=12, **rules)
    made = rules_of(TOKENIZER, prefixes, automaton, 12)
    slots = open_slots(how, model(), TOKENIZER, config, made)
    decoder = Decoder(TOKENIZER, made.heads)
    found = [row for ended in run(slots, 0, count) for row in rows(ended, decoder)]
    return [row.text for row in sorted(found, key=lambda row: row.number)]


@pytest.mark.parametrize("how", ENGINES, ids=lambda how: how.kind)
def test_every_text_begins_with_its_prefix(how: Engine):
    found = texts(PREFIXES, how)
    for number, text in enumerate(found):
        assert text.startswith(PREFIXES[number % len(PREFIXES)])


def test_the_engines_draw_the_same_texts():
    native, plain, own = (texts(PREFIXES, how) for how in ENGINES)
    assert native == plain == own


def test_a_prefix_that_ends_inside_a_piece_continues_like_training_text():
    world = TOKENIZER.encode(" world").tolist()
    assert len(world) == 1
    made = rules_of(TOKENIZER, ["the wor"], None, 12)
    assert made.heads == ("the",)
    assert made.automaton is not None
    assert made.starts is not None
    start = int(made.starts[0])
    allowed = np.flatnonzero(made.automaton.successors[start] >= 0)
    spelled = [TOKENIZER.token_bytes()[token] for token in allowed]
    assert world[0] in allowed
    assert all(s.startswith(b" wor") or b" wor".startswith(s) for s in spelled)
    assert made.automaton.distance[start] == 2  # " world" and the boundary


def test_a_grammar_holds_from_the_first_letter_of_the_prefix():
    pattern = "the wor(ld|k)( was old)?"
    found = texts(("the wor", "the world w"), ENGINES[0], grammar=pattern)
    assert {bool(re.fullmatch(pattern, text)) for text in found} == {True}
    assert all(text == "the world was old" for text in found[1::2])


def test_banned_strings_hold_across_the_prefix():
    found = texts(("the wo",), ENGINES[0], count=100, banned=("world", "wolf"))
    assert all(text.startswith("the wo") for text in found)
    assert not any("world" in text or "wolf" in text for text in found)


def test_a_prefix_that_no_text_can_begin_with_is_refused():
    with pytest.raises(ConstraintError, match="begins with the prefix"):
        texts(("the cow",), ENGINES[0], grammar="the w.*")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="theworld ,\nø", max_size=12))
def test_any_prefix_is_kept(prefix: str):
    assert all(text.startswith(prefix) for text in texts((prefix,), ENGINES[0], count=3))


def test_a_prefix_that_would_take_too_many_tokens_is_fed_whole():
    made = rules_of(TOKENIZER, ["d" * 12, "the wor"], None, 12)
    assert made.heads == ("d" * 12, "the")
    assert texts(("d" * 12,), ENGINES[0], count=1)[0].startswith("d" * 12)


def test_prefixes_of_other_tokenizers_are_fed_unchanged():
    letters = tokenizer.learn(TokenizerConfig(kind="character"), [TEXT])
    made = rules_of(letters, ["the wor"], None, 12)
    assert (made.heads, made.automaton, made.starts) == (("the wor",), None, None)


def test_a_job_can_begin_its_texts_inside_a_piece(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, model(), TOKENIZER, EXPERIMENT, {})
    config = GenerationConfig(count=30, prefix="the wor", max_length=10, precision="fp32")
    generate(path, config, tmp_path / "out", "text")
    assert all(str(row["text"]).startswith("the wor") for row in table(tmp_path / "out"))
