"""Test blending: the weights that training started from are mixed into the trained weights."""

from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint
from rnnlm.checkpoint import LoadedModel
from rnnlm.dataset import load_split
from rnnlm.evaluation.scoring import evaluate
from rnnlm.header import load_facts
from rnnlm.tokens import TokenArrays
from rnnlm.training.api import train
from rnnlm.training.blending import blend
from tests.conftest import tiny_experiment
from tests.training.test_start import tokens_of

EXPERIMENT = tiny_experiment(training={"budget": "15 epochs", "learning_rate": 0.03})


@pytest.fixture
def trained(tmp_path: Path) -> tuple[LoadedModel, Path, TokenArrays]:
    """A trained model, a less trained one to start from, and validation text."""
    text = "".join(f"colour {n} {n * 7 % 256} {n * 3 % 256}\n" for n in range(200))
    tokens = tokens_of(tmp_path / "text", text, EXPERIMENT)
    model = train(tokens.uri, EXPERIMENT, tmp_path / "model")
    less = tiny_experiment(training={"budget": "1 epochs"})
    start = Path(train(tokens.uri, less, tmp_path / "less").checkpoint)
    loaded = checkpoint.load(Path(model.checkpoint))
    return loaded, start, load_split(tokens.uri, "validation")


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loaded.model.state_dict().items()}


def test_weights_that_moved_too_far_are_moved_back(trained):
    loaded, start, validation = trained
    begun = weights(checkpoint.load(start))
    good = evaluate(loaded.model, validation).score
    best = weights(loaded)
    loaded.model.load_state_dict({n: torch.lerp(begun[n], best[n], 2.5) for n in best})
    far = evaluate(loaded.model, validation).score
    facts = blend(loaded, start, validation)
    assert facts["nll_nats_per_token"] < far.nll_nats_per_token
    assert facts["nll_nats_per_token"] < good.nll_nats_per_token * 1.05
    assert 0.3 <= facts["trained_share"] < 1.0
    assert evaluate(loaded.model, validation).score.figures().items() <= facts.items()


def test_weights_that_did_not_move_too_far_are_unchanged(trained):
    loaded, start, validation = trained
    before = weights(loaded)
    assert blend(loaded, start, validation)["trained_share"] == 1.0
    assert all(value.equal(before[name]) for name, value in weights(loaded).items())


@pytest.mark.parametrize("on", [True, False])
def test_a_training_result_is_blended_if_configured(on: bool, trained, tmp_path: Path):
    _, start, _ = trained
    few = tokens_of(tmp_path / "few", "".join(f"colour {n} 7 9\n" for n in range(60)), EXPERIMENT)
    settings = {"budget": "3 epochs", "blend": on}
    model = train(few.uri, tiny_experiment(training=settings), tmp_path / "more", start=start)
    best = load_facts(tmp_path / "more" / "best.safetensors")
    path = Path(model.checkpoint)
    assert ("trained_share" in load_facts(path)) is on
    assert model.validation_bits_per_character <= best["bits_per_character"]
    score = evaluate(checkpoint.load(path).model, load_split(few.uri, "validation")).score
    assert score.bits_per_character == pytest.approx(model.validation_bits_per_character)
