"""Test ARPA files with a slow reader, written from the format's manual page."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm import arpa, checkpoint
from rnnlm.checkpoint import LoadedModel
from rnnlm.dataset import from_texts
from rnnlm.errors import CheckpointError, TokenizerError
from rnnlm.models import build
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer, Tokenizer, WordTokenizer
from rnnlm.tokenizer.bpe import byte_letters
from rnnlm.tokens import BOUNDARY_ID
from tests.conftest import call_cli, lines, tiny_experiment
from tests.ngrams import SlowNGrams

LETTERS = CharacterTokenizer("ab c")
TEXTS = st.lists(st.text("ab c", max_size=12), min_size=1, max_size=8)


def fitted(texts: list[str], tokenizer: Tokenizer, order: int) -> LoadedModel:
    experiment = tiny_experiment(model={"architecture": "ngram", "ngram_order": order})
    model = build(experiment.model, tokenizer.vocab_size)
    assert isinstance(model, NGramLanguageModel)
    model.fit(from_texts(tokenizer, texts))
    return LoadedModel(model.eval(), tokenizer, experiment, {})


def read(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """Return log₁₀ p and the logarithm of the back-off weight of each n-gram in a file."""
    head, *sections, end = path.read_text("utf-8").split("\n\n")
    assert end == "\\end\\\n"
    listed = {}
    for n, section in enumerate(sections, start=1):
        title, *rows = section.split("\n")
        assert title == f"\\{n}-grams:"
        assert f"ngram {n}={len(rows)}" in head.splitlines()
        for row in rows:
            probability, ngram, *backoff = row.split("\t")
            listed[tuple(ngram.split(" "))] = float(probability), float(*backoff or [0])
            assert ngram.count(" ") == n - 1
    assert len(listed) == sum(int(row.split("=")[1]) for row in head.splitlines()[1:])
    return listed


def logarithm(listed: dict[tuple[str, ...], tuple[float, float]], ngram: tuple[str, ...]) -> float:
    """Return log₁₀ of the probability of the last token after the others."""
    if ngram in listed:
        return listed[ngram][0]
    return listed.get(ngram[:-1], (0.0, 0.0))[1] + logarithm(listed, ngram[1:])


@settings(deadline=None)
@given(train=TEXTS, test=TEXTS, order=st.integers(1, 5))
def test_a_reader_finds_the_probabilities_of_the_definition(tmp_path_factory, train, test, order):
    path = tmp_path_factory.mktemp("arpa") / "x.arpa"
    arpa.write(path, fitted(train, LETTERS, order))
    listed, names = read(path), arpa.token_names(LETTERS)
    documents = [LETTERS.encode(text).tolist() for text in train]
    slow = SlowNGrams(documents, LETTERS.vocab_size, order)
    for text in test:
        before, called = [BOUNDARY_ID], [arpa.BEGIN]
        for token in [*LETTERS.encode(text).tolist(), BOUNDARY_ID]:
            ngram = (*called, names[token])[-order:]
            expected = math.log10(slow.probability(token, before))
            assert logarithm(listed, ngram) == pytest.approx(expected, rel=1e-5, abs=1e-6)
            before.append(token)
            called.append(names[token])


def test_tokens_are_named_by_the_letters_of_their_bytes(tmp_path: Path):
    tokenizer = CharacterTokenizer("a é\n")
    names = arpa.token_names(tokenizer)
    assert {*names} == {"</s>", "<unk>", "a", "Ġ", "Ċ", "Ã©"}
    assert arpa.sentence(tokenizer, "a é\nz") == "a Ġ Ã© Ċ <unk>"
    from_letter = {letter: byte for byte, letter in byte_letters().items()}
    every = arpa.token_names(ByteTokenizer())[1:]
    assert {from_letter[name] for name in every} == {*range(255)}  # UTF-8 never uses 255
    arpa.write(tmp_path / "x.arpa", fitted(["a é\n", "z"], tokenizer, 3))
    assert ("<s>", "a", "Ġ") in read(tmp_path / "x.arpa")


def test_other_models_and_tokens_without_bytes_are_refused_and_nothing_is_written(tmp_path: Path):
    experiment = tiny_experiment()
    network = LoadedModel(build(experiment.model, LETTERS.vocab_size), LETTERS, experiment, {})
    with pytest.raises(CheckpointError, match=r"lstm 1×16 .*expected an n-gram model"):
        arpa.write(tmp_path / "x.arpa", network)
    words = WordTokenizer.learn(["a b"], "whitespace", 10, 1)
    with pytest.raises(TokenizerError, match="pieces"):
        arpa.write(tmp_path / "x.arpa", fitted(["a b"], words, 2))
    assert [*tmp_path.iterdir()] == []


def test_the_command_writes_a_model_and_says_how_many_ngrams_it_holds(tmp_path: Path):
    texts = lines(50).splitlines()
    tokenizer = CharacterTokenizer.learn(texts)
    loaded = fitted(texts, tokenizer, 4)
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, loaded.model, tokenizer, loaded.experiment, {})
    said = call_cli(tmp_path, "export", "./m.safetensors", "--arpa", "m.arpa")
    assert said.status == 0, said.err
    assert f"{len(read(tmp_path / 'm.arpa')):,} n-grams" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    wrong = call_cli(tmp_path, "export", "./m.safetensors", "--arpa", "m.txt")
    assert wrong.err == "error: --arpa m.txt: expected a name that ends in .arpa\n"
