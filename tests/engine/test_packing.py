import numpy as np
import pytest
import torch

from rnnlm.config import ModelConfig
from rnnlm.engine import packing
from rnnlm.engine.packing import can_pack, pack
from rnnlm.models import LanguageModel, build


def model(**settings) -> LanguageModel:
    torch.manual_seed(1)
    sizes = {"hidden_size": 24, "embedding_size": 8, "num_layers": 2}
    return build(ModelConfig(**(sizes | settings)), 30).eval()


@pytest.mark.parametrize("architecture", ["lstm", "gru", "simple"])
def test_bytes_times_scale_equal_the_weights_within_half_a_step(architecture: str):
    made = model(architecture=architecture)
    exact, rough = (pack(made, dtype, None) for dtype in (torch.float32, torch.int8))
    unit = {"simple": 255.0}.get(architecture, 127.0)
    for one, other in zip(exact.layers, rough.layers, strict=True):
        weights = other.matrix.astype(np.float32) * (other.scale * unit)
        steps = np.abs(other.scale * unit) / 2
        real = one.matrix * one.scale
        depth = min(len(weights), len(real))
        assert (np.abs(weights[:depth] - real[:depth]) <= steps * 1.001 + 1e-6).all()


def test_tokens_that_are_never_drawn_have_a_very_low_logit():
    network = pack(model(), torch.int8, unknown_id=1)
    forbidden = np.flatnonzero(network.added <= -1e29).tolist()
    assert forbidden == [1, *range(30, 64)]


def test_unsupported_models_and_models_with_large_tables_are_not_packed(
    monkeypatch: pytest.MonkeyPatch,
):
    assert can_pack(model())
    assert not can_pack(model(architecture="mogrifier"))
    assert not can_pack(model(architecture="mingru"))
    assert not can_pack(model(architecture="ngram"))
    monkeypatch.setattr(packing, "LARGEST_TABLE", 30 * 127)
    assert not can_pack(model())
