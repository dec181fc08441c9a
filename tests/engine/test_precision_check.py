import numpy as np
import pytest
import torch

from rnnlm.config import ModelConfig
from rnnlm.engine import precision_check
from rnnlm.engine.precision import PrecisionChoice
from rnnlm.engine.precision_check import MOST_NATS, choose_precision
from rnnlm.kernels.native import native_available
from rnnlm.models import LanguageModel, build
from rnnlm.tokens import TokenArrays


def model(**settings) -> LanguageModel:
    torch.manual_seed(1)
    return build(ModelConfig(**({"hidden_size": 32, "embedding_size": 16} | settings)), 20).eval()


def text(documents: int = 30) -> TokenArrays:
    chance = np.random.default_rng(1)
    parts = [[*chance.integers(2, 20, 40).tolist(), 0] for _ in range(documents)]
    counts = np.full(documents, 40)
    return TokenArrays(
        tokens=np.concatenate(parts).astype(np.uint8),
        offsets=np.arange(documents + 1) * 41,
        characters=counts,
        bytes=counts,
    )


def test_fewer_bits_are_chosen_if_they_cost_nothing():
    choice = choose_precision(model(), text())
    assert choice is not None
    assert choice.chosen == "int8"
    assert choice.cost_nats["int8"] <= MOST_NATS
    assert choice.cost_nats["fp32"] == 0.0
    assert choice.tokens == 30 * 41
    assert PrecisionChoice.of({"precision": choice.model_dump()}) == choice


@pytest.mark.skipif(not native_available(), reason="slow without native code")
def test_a_higher_precision_is_chosen_if_fewer_bits_cost_too_much(monkeypatch: pytest.MonkeyPatch):
    loud = model()
    with torch.no_grad():
        for parameter in loud.parameters():
            parameter.mul_(12.0)  # saturated gates: a small error of the state shows
    choice = choose_precision(loud, text())
    assert choice is not None
    assert choice.chosen != "int8"
    assert choice.cost_nats["int8"] > MOST_NATS
    monkeypatch.setattr(precision_check, "MOST_NATS", 100.0)
    lenient = choose_precision(loud, text())
    assert lenient is not None
    assert lenient.chosen == "int8"


def test_long_documents_are_scored_in_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision_check, "PIECE", 7)
    choice = choose_precision(model(), text(3))
    assert choice is not None
    assert choice.tokens == 3 * 41


def test_a_model_that_cannot_be_packed_has_no_choice_of_precision():
    assert choose_precision(model(architecture="mogrifier"), text()) is None
