"""Test how a network and what its training starts from are chosen for a text."""

import itertools
import random
import textwrap
from pathlib import Path

import pytest
import torch

from rnnlm import bases, checkpoint, recipe, tokenizer
from rnnlm.bases import weights
from rnnlm.config import Experiment, TokenizerConfig, from_values
from rnnlm.models import build
from rnnlm.recipe import FROM_BASE, FROM_NOTHING, Seen, choose_base, choose_recipe

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "some",
    "dog",
    "lay",
    "in",
    "warm",
    "sun",
    "while",
    "birds",
    "sang",
    "of",
    "old",
    "seas",
]


def prose(seed: int, words: int = 300) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


READ = [prose(seed) for seed in range(40)]


def seen(pieces: list[str], characters: int = 200_000, is_short: bool = False) -> Seen:
    return Seen(characters, characters, 60, pieces, is_short)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the package's base by one with random weights that is marked as trained on `READ`.

    The limit on bits per character is raised, so that no text is too far from the base.
    """
    torch.manual_seed(1)
    pieces = tokenizer.learn(TokenizerConfig(kind="bpe", vocab_size=300), READ)
    experiment: Experiment = from_values(
        {"name": "x", "corpus": {"source": "x"}, "model": {"hidden_size": 8, "embedding_size": 8}},
        (),
        origin="x",
    )
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, build(experiment.model, pieces.vocab_size), pieces, experiment, {})
    to = tmp_path / "base-english.safetensors"
    weights.export(path, READ, to, {})
    monkeypatch.setattr(bases, "shipped", lambda _: to)
    monkeypatch.setattr(recipe, "MOST_BITS", 100.0)
    return to


@pytest.mark.usefixtures("shipped")
def test_a_text_that_the_base_can_read_starts_from_it():
    chosen = choose_recipe(seen([prose(1000)]))
    assert chosen.values["training"]["base"] == "english"
    assert "tokenizer" not in chosen.values  # the base's tokenizer is used
    assert chosen.vocab_size == 300
    assert "bits/character before training" in chosen.start[1]


def test_a_text_that_is_far_from_the_base_starts_from_random_weights(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recipe, "MOST_BITS", 1.0)
    name, why = choose_base(seen([prose(1000)]))
    assert (name, why.split(":")[0]) == ("none", "too far from base english")


@pytest.mark.usefixtures("shipped")
def test_another_language_starts_from_random_weights():
    text = "au commencement dieu créa les cieux et la terre or la terre était informe et vide " * 20
    name, why = choose_base(seen([text]))
    assert name == "none"
    assert "of its words are English" in why


@pytest.mark.usefixtures("shipped")
def test_colours_with_numbers_start_from_random_weights():
    lines = [f"warm sun {n % 256} {n * 7 % 256} 12" for n in range(100)]
    assert choose_base(seen(lines))[0] == "none"
    assert choose_base(seen([f"warm sun #{n:06x}" for n in range(100)]))[0] == "none"


@pytest.mark.usefixtures("shipped")
def test_a_text_that_the_base_has_read_starts_from_random_weights():
    before = "base english has read this text before"
    assert choose_base(seen(READ[:5]))[1] == before
    lines = [line for text in READ for line in textwrap.wrap(text, 40)]
    assert choose_base(seen(lines))[1] == before
    preface = [prose(seed) for seed in range(100, 115)]
    assert choose_base(seen([*preface, *READ]))[1] == before
    assert choose_base(seen([*READ[:15], *preface, *preface]))[1] != before


def test_without_a_base_all_texts_start_from_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bases, "shipped", lambda _: tmp_path / "gone")
    chosen = choose_recipe(seen([prose(1)]))
    assert chosen.start == ("random weights", "no base comes with this installation")
    assert chosen.values["tokenizer"]["kind"] == "character"


def test_a_base_that_is_set_is_not_questioned():
    chosen = choose_recipe(seen([prose(1)]), ("mybook", "as set"))
    assert chosen.values["training"]["base"] == "mybook"
    assert choose_recipe(seen([prose(1)]), ("none", "as set")).start[1] == "as set"


@pytest.mark.parametrize("table", [FROM_NOTHING, FROM_BASE])
def test_more_text_takes_no_more_dropout_and_fewer_readings(table):
    for smaller, larger in itertools.pairwise(table):
        assert smaller.characters < larger.characters
        assert smaller.dropout >= larger.dropout
        assert smaller.readings > larger.readings


def test_a_small_list_gets_one_layer_and_prose_of_its_size_two():
    for is_short, layers, dropout in ((True, 1, 0.5), (False, 2, 0.4)):
        chosen = choose_recipe(seen([prose(1, 5)] * 50, 20_000, is_short=is_short), ("none", ""))
        assert chosen.values["model"]["num_layers"] == layers
        assert chosen.values["model"]["dropout"] == dropout
        assert chosen.network == f"LSTM {layers}×256"
    longer = choose_recipe(seen([prose(1, 5)] * 50, 60_000, is_short=True), ("none", ""))
    assert longer.network == "LSTM 2×256"


def test_short_documents_are_fed_whole():
    chosen = choose_recipe(seen([prose(1, 5)] * 50, 20_000, is_short=True), ("none", "as set"))
    training = chosen.values["training"]
    assert training["feed"] == "documents"
    assert training["batch_size"] > 16
