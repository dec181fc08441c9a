from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint, tokenizer
from rnnlm.bases import weights
from rnnlm.config import TokenizerConfig
from rnnlm.models import build
from tests.bases.conftest import NETWORK, TEXTS, experiment


def test_the_same_vocabulary_starts_from_the_same_weights(saved: Path):
    loaded = checkpoint.load(saved)
    model = build(loaded.experiment.model, loaded.tokenizer.vocab_size)
    weights.start_from(saved, model, loaded.tokenizer)
    for name, value in loaded.model.state_dict().items():
        assert model.state_dict()[name].equal(value)


@pytest.mark.parametrize("kind", ["character", "byte", "word", "bpe"])
def test_another_vocabulary_is_mapped_token_by_token(saved: Path, kind: str):
    loaded = checkpoint.load(saved)
    other = tokenizer.learn(TokenizerConfig(kind=kind, vocab_size=300), [*TEXTS, "new ø words"])
    model = build(loaded.experiment.model, other.vocab_size)
    weights.start_from(saved, model, other)
    theirs, ours = loaded.model.state_dict(), model.state_dict()
    ids = {token: index for index, token in enumerate(loaded.tokenizer.token_bytes())}
    shared = [
        (index, ids[token]) for index, token in enumerate(other.token_bytes()) if token in ids
    ]
    assert len(shared) > 10
    for mine, its in shared:
        for name in weights.BY_TOKEN:
            assert ours[name][mine].equal(theirs[name][its])
    assert all(ours[name].equal(theirs[name]) for name in ours if name.startswith("layers."))


def test_a_token_that_the_base_lacks_starts_from_the_tokens_that_spell_it(saved: Path):
    loaded = checkpoint.load(saved)
    word = tokenizer.learn(TokenizerConfig(kind="word"), ["zq zq"])
    index = word.token_bytes().index(b"zq")
    model = build(loaded.experiment.model, word.vocab_size)
    weights.start_from(saved, model, word)
    z, q = (loaded.tokenizer.token_bytes().index(letter) for letter in (b"z", b"q"))
    theirs = loaded.model.state_dict()
    expected = (theirs["embedding.weight"][z] + theirs["embedding.weight"][q]) / 2
    torch.testing.assert_close(model.state_dict()["embedding.weight"][index], expected)
    assert model.state_dict()["U"][index].equal(theirs["U"][z])


def test_a_small_copy_loads_as_nearly_the_same_model(saved: Path, tmp_path: Path):
    small = tmp_path / "small.safetensors"
    checkpoint.save_small(saved, small, {"note": "hello"}, {"base.windows": torch.arange(3)})
    one, other = checkpoint.load(saved), checkpoint.load(small)
    for name, value in one.model.state_dict().items():
        row = value.abs().amax(dim=-1, keepdim=True)
        assert ((other.model.state_dict()[name] - value).abs() <= row / 254 + 1e-9).all(), name
    assert other.facts["note"] == "hello"
    assert checkpoint.load_tensors(small)[0]["base.windows"].tolist() == [0, 1, 2]
    assert small.stat().st_size < saved.stat().st_size


def test_a_whitespace_word_starts_from_the_pieces_that_spell_it_with_its_space(saved: Path):
    loaded = checkpoint.load(saved)
    words = tokenizer.learn(TokenizerConfig(kind="word", words="whitespace"), TEXTS)
    model = build(experiment(model=NETWORK).model, words.vocab_size)
    weights.start_from(saved, model, words)
    rows = loaded.model.state_dict()["embedding.weight"]
    expected = rows[loaded.tokenizer.encode(" mat").tolist()].mean(dim=0)
    found = model.state_dict()["embedding.weight"][int(words.encode("mat")[0])]
    torch.testing.assert_close(found, expected)
