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
from rnnlm.constraints import acceptors, compile_constraints, healing, rules_of
from rnnlm.constraints.healing import Rules
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
    assert world[0] in allowed
    spelled = enumerate(TOKENIZER.token_bytes())
    fitting = [t for t, s in spelled if s and (s.startswith(b" wor") or b" wor".startswith(s))]
    assert allowed.tolist() == fitting
    assert made.automaton.distance[start] == 2  # " world" and the boundary


def test_the_distance_of_an_added_state_is_one_more_than_that_of_its_nearest_successor():
    automaton = compile_constraints(TOKENIZER, max_length=12, grammar="the.*")
    made = rules_of(TOKENIZER, ["the cold world", "the wolf"], automaton, 12)
    assert automaton is not None
    assert made.automaton is not None
    assert made.starts is not None
    own, distance = len(automaton.distance), made.automaton.distance
    assert made.automaton.successors[:own].tolist() == automaton.successors.tolist()
    assert min(made.starts) >= own
    for state in range(own, len(distance)):
        following = made.automaton.successors[state]
        assert distance[state] == 1 + min(distance[following[following >= 0]])


@pytest.mark.parametrize(("max_length", "head"), [(2, "the"), (1, "the wor")])
def test_a_prefix_is_fed_whole_if_healing_leaves_no_room(max_length: int, head: str):
    assert rules_of(TOKENIZER, ["the wor"], None, max_length).heads == (head,)


def test_a_very_long_last_piece_is_fed_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(healing, "LONGEST_PIECE", 30)
    short, long = "d" * 30, "d" * 31
    assert rules_of(TOKENIZER, [short, long], None, 999).heads == ("", long)


def test_equal_prefixes_share_their_states_and_empty_ones_need_none():
    made = rules_of(TOKENIZER, ["the wor", "", "the wor"], None, 12)
    assert made.heads == ("the", "", "the")
    assert made.starts is not None
    assert made.starts.dtype == np.int32
    assert made.starts[0] == made.starts[2] > made.starts[1] == 0
    assert rules_of(TOKENIZER, ["", ""], None, 12) == Rules(("", ""))


def test_a_surrogate_in_a_prefix_is_kept():
    assert rules_of(TOKENIZER, ["old \ud800 wor"], None, 12).heads == ("old \ud800",)


def test_a_table_of_too_many_states_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acceptors, "MOST_ENTRIES", 2 * TOKENIZER.vocab_size)
    with pytest.raises(ConstraintError, match="need a table of over 3 states"):
        rules_of(TOKENIZER, ["the world"], None, 12)


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
    automaton = compile_constraints(TOKENIZER, max_length=12, grammar="the w.*")
    message = (
        "no text that begins with the prefix 'the cow' can satisfy the constraints; change the "
        "prefix or the constraints, or raise max_length"
    )
    with pytest.raises(ConstraintError, match=f"^{re.escape(message)}$"):
        rules_of(TOKENIZER, ["the wor", "the cow"], automaton, 12)


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
    automaton = compile_constraints(letters, prefixes=("the ", ""), max_length=12, grammar="the.*")
    assert automaton is not None
    made = rules_of(letters, ["the ", ""], automaton, 12)
    assert (made.heads, made.automaton) == (("the ", ""), automaton)
    assert made.starts is not None
    assert made.starts.dtype == np.int32
    assert made.starts.tolist() == [automaton.run(letters.encode(p).tolist()) for p in made.heads]


def test_a_job_can_begin_its_texts_inside_a_piece(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, model(), TOKENIZER, EXPERIMENT, {})
    config = GenerationConfig(count=30, prefix="the wor", max_length=10, precision="fp32")
    generate(path, config, tmp_path / "out", "text")
    assert all(str(row["text"]).startswith("the wor") for row in table(tmp_path / "out"))
