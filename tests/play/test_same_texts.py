"""The engine in WebAssembly and the page's tokenizers write the same texts as native code."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rnnlm import colors
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig, ModelConfig
from rnnlm.engine import running
from rnnlm.engine.texts import Decoder
from rnnlm.generation.prompt import constraint, open_texts, prefixes_of
from rnnlm.kernels.slots import in_order
from rnnlm.models import LanguageModel, build
from rnnlm.play.describing import Named, describe
from rnnlm.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
)
from tests.conftest import ROOT
from tests.play.in_node import loaded_model, needs_node, run_tasks

pytestmark = needs_node
ASCII = CharacterTokenizer("".join(map(chr, range(32, 127))))
BOOK = (ROOT / "docs" / "generation.md").read_text()
PARAGRAPHS = [line for line in BOOK.split("\n") if line]
PIECES = BPETokenizer.learn(PARAGRAPHS, 500)
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"architecture": "lstm"},
    "gru": {"architecture": "gru"},
    "sigmoid": {"architecture": "simple", "nonlinearity": "sigmoid"},
    "tanh": {"architecture": "simple", "nonlinearity": "tanh"},
    "tied": {"architecture": "lstm", "tie_weights": True, "last_size": 24},
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5, "top_k": 3},
    {"temperature": 1.0, "top_p": 0.7, "min_length": 20},
    {"min_p": 0.2, "repetition_penalty": 1.3},
    {"temperature": 0.0},
    {"prefix": "ab c", "seed": 2**62 + 11},
]


def model(tokenizer: Tokenizer, **settings: Any) -> LanguageModel:
    torch.manual_seed(1)
    sizes = {"hidden_size": 70, "embedding_size": 24, "num_layers": 2, "learned_start": True}
    made = build(ModelConfig(**(sizes | settings)), tokenizer.vocab_size).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0)
    return made


def native(loaded: LoadedModel, first: int, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Draw texts as `rnnlm generate` does; return them in the form of driver.js."""
    config = GenerationConfig(**{**loaded.experiment.generation.model_dump(), **changes})
    opening = open_texts(loaded.experiment, config)
    prefixes = opening.before(prefixes_of(config, None))
    rules = constraint(loaded.tokenizer, config, opening, prefixes)
    how = running.choose_engine(loaded.model, "int8")
    slots = running.open_slots(how, loaded.model, loaded.tokenizer, config, rules)
    ended = in_order(running.run(slots, first, count))
    texts = Decoder(loaded.tokenizer, rules.heads, config.stop).decode(ended).to_pylist()
    parts = np.split(ended.tokens, np.cumsum(ended.lengths)[:-1])
    return [
        {"text": text, "tokens": part.tolist(), "complete": bool(complete)}
        for text, part, complete in zip(texts, parts, ended.complete, strict=True)
    ]


def assert_same(
    loaded: LoadedModel, changes: Sequence[dict[str, Any]], count: int = 6, **options: Any
) -> list[Any]:
    """Compare some texts for each of several changes of the settings; return those of the page."""
    tasks, expected = [], []
    for change in changes:
        config = {**loaded.experiment.generation.model_dump(), **change}
        how = {key: config[key] for key in ("temperature", "top_k", "top_p", "min_p")}
        how |= {key: config[key] for key in ("repetition_penalty", "min_length", "max_length")}
        task = {"kind": "draw", "seed": str(config["seed"]), "prefix": config["prefix"], "how": how}
        tasks += [{**task, "number": str(3 + number), "at": 1 + number} for number in range(count)]
        expected += native(loaded, 3, count, **change)
    found = run_tasks(tasks, loaded, **options)
    for task, ours, theirs in zip(tasks, found, expected, strict=True):
        assert ours == theirs, task
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_draws_the_same_tokens(kind: str):
    loaded = loaded_model(model(ASCII, **KINDS[kind]), ASCII, temperature=1.0, max_length=40)
    found = assert_same(loaded, SETTINGS)
    assert len({text["text"] for text in found}) > 12


def test_word_pieces_draw_the_same_tokens_after_any_beginning():
    loaded = loaded_model(model(PIECES, hidden_size=40), PIECES, max_length=30, temperature=1.0)
    assert "table.inputs" in describe(loaded, Named("x"))[1]  # rows are computed, not sent
    beginnings = ("", "The te", "a ", "Prefixes. ", "naïve – ", "\n\n", "x", "“", "it's  two")
    changes = [{"prefix": prefix} for prefix in beginnings]
    assert_same(loaded, [*changes, {"prefix": "gener", "max_length": 2}, {"top_p": 0.5}])


def test_rows_of_the_table_are_computed_again_when_memory_is_short():
    loaded = loaded_model(model(PIECES, hidden_size=40), PIECES, max_length=200, temperature=1.0)
    assert_same(loaded, [{}], count=3, kept_bytes=7000)


@pytest.mark.parametrize("kind", ["pieces", "whitespace"])
def test_words_draw_the_same_text(kind: str):
    tokenizer = WordTokenizer.learn(PARAGRAPHS, kind, 200, 1)
    beginning = "the texts" if kind == "whitespace" else " the texts"
    loaded = loaded_model(model(tokenizer, hidden_size=20), tokenizer, max_length=30)
    assert_same(loaded, [{"temperature": 1.0}, {"prefix": beginning}])


def test_invalid_utf8_is_left_out_as_in_a_data_set():
    tokenizer = ByteTokenizer()
    loaded = loaded_model(model(tokenizer, hidden_size=20), tokenizer, max_length=60)
    found = assert_same(loaded, [{"temperature": 1.5}, {"prefix": "é"}])
    assert all("\ufffd" not in text["text"] for text in found)


def test_the_models_own_constraints_hold_on_the_page_too():
    loaded = loaded_model(
        model(ASCII), ASCII, {"form": "color"}, grammar="color", banned=["e"], max_length=30
    )
    found = assert_same(loaded, [{}, {"prefix": "wa"}, {"temperature": 2.0}])
    assert all(colors.parse(text["text"]) and "e" not in text["text"] for text in found)
    (refused,) = run_tasks(
        [{"kind": "draw", "seed": "1", "number": "0", "prefix": "red", "how": {}}], loaded
    )
    assert "can begin with “red”" in refused["error"]
    ending = loaded_model(model(PIECES), PIECES, stop=["e", " th"], max_length=40, temperature=1.0)
    assert_same(ending, [{}, {"prefix": "pag"}])


def test_a_header_of_attributes_comes_first():
    tokenizer = CharacterTokenizer("abcdef \t")
    corpus = {"attributes": ["kind", "year"], "condition": ["kind", "year"]}
    loaded = loaded_model(model(tokenizer), tokenizer, corpus, max_length=20, given={"kind": "a b"})
    description, _ = describe(loaded, Named("x"))
    assert (description["header"], description["missing"]) == ("a b\t", ("year",))
    (drawn,) = run_tasks(
        [{"kind": "draw", "seed": "1", "number": "0", "prefix": "a b\t", "how": {}}], loaded
    )
    assert drawn == native(loaded, 0, 1)[0]


def test_an_unknown_character_is_named():
    loaded = loaded_model(model(ASCII), ASCII)
    (refused,) = run_tasks(
        [{"kind": "draw", "seed": "1", "number": "0", "prefix": "a ß", "how": {}}], loaded
    )
    assert "“ß”" in refused["error"]


def test_a_text_that_was_cut_continues_as_if_it_had_not_been():
    for tokenizer in (ASCII, PIECES):
        loaded = loaded_model(model(tokenizer), tokenizer, temperature=1.0, max_length=7)
        for prefix in ("", "wor"):
            task = {"kind": "draw", "seed": "1", "prefix": prefix, "how": {}, "longer": 40}
            found = run_tasks([{**task, "number": str(n)} for n in range(5)], loaded)
            assert found == native(loaded, 0, 5, max_length=40, prefix=prefix)


def test_the_bars_show_the_probabilities_of_the_next_token():
    loaded = loaded_model(model(ASCII), ASCII, temperature=0.7)
    task = {"kind": "next", "prefix": "The ", "how": {}, "count": 5}
    cut = {**task, "how": {"top_p": 0.5}, "count": 100}
    found, kept = run_tasks([task, cut], loaded)
    ids = torch.tensor([[0, *ASCII.encode("The ")]])
    with torch.no_grad():
        logits, _ = loaded.model(ids, loaded.model.initial_state(1))
    logits[..., 1] = -torch.inf  # the unknown token
    shares, tokens = torch.softmax(logits[0, -1] / 0.7, -1).topk(5)
    assert [one["token"] for one in found] == tokens.tolist()
    assert [one["share"] for one in found] == pytest.approx(shares.tolist(), abs=0.02)
    assert [one["label"] for one in found] == [ASCII.decode([token]) for token in tokens.tolist()]
    assert sum(one["share"] for one in kept) == pytest.approx(1.0)
    assert len(kept) < 50
