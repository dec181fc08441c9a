import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rnnlm import checkpoint
from rnnlm.errors import CheckpointError
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment
from tests.damage import flip_bit


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc ß")
    model = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(tmp_path / "model.safetensors", model, tokenizer, experiment, {"step": 7})
    return tmp_path / "model.safetensors"


def test_a_checkpoint_survives_saving_and_loading(saved: Path):
    loaded = checkpoint.load(saved)
    assert loaded.experiment == tiny_experiment()
    assert loaded.facts == {"step": 7}
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("abc ß")) == "abc ß"
    assert not loaded.model.training
    again = checkpoint.load(saved)
    for mine, theirs in zip(loaded.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_same_model_makes_the_same_bytes(saved: Path, tmp_path: Path):
    loaded = checkpoint.load(saved)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, loaded.model, loaded.tokenizer, loaded.experiment, loaded.facts)
    assert other.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_a_clear_error(saved: Path, size: int):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="cut short or not a checkpoint"):
        checkpoint.load(saved)


def test_a_missing_checkpoint_is_a_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "none")


def test_weights_of_another_model_are_refused(saved: Path):
    tensors, _ = checkpoint.load_tensors(saved)
    larger = build(tiny_experiment(model={"hidden_size": 17}).model, 7)
    with pytest.raises(CheckpointError, match="fit another model"):
        checkpoint.load_weights(larger, tensors, saved)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.99])
def test_a_flipped_bit_is_noticed_wherever_it_is(saved: Path, share: float):
    flip_bit(saved, share)
    with pytest.raises(CheckpointError, match=r"is damaged|cut short|does not describe"):
        checkpoint.load(saved)


def test_a_checkpoint_of_an_earlier_version_has_no_digests_and_is_read(saved: Path, tmp_path: Path):
    old = tmp_path / "old.safetensors"
    with safe_open(saved, framework="pt") as file:
        header = json.loads(file.metadata()["rnnlm"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in header.items() if not key.startswith("sha256")}
    assert len(kept) == len(header) - 2
    save_file(tensors, old, metadata={"rnnlm": json.dumps(kept)})
    assert checkpoint.load(old).facts == checkpoint.load(saved).facts
