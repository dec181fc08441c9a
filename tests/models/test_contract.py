import pytest
import torch

from rnnlm.config import ModelConfig
from rnnlm.models import ARCHITECTURES, LanguageModel, build, detach_state

NEURAL = [name for name in ARCHITECTURES if name != "ngram"]


def model_of(architecture: str) -> LanguageModel:
    torch.manual_seed(0)
    config = ModelConfig(
        architecture=architecture, embedding_size=6, hidden_size=10, num_layers=2, dropout=0.5
    )
    return build(config, vocab_size=11).eval()


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return model_of(request.param)


@pytest.fixture(params=NEURAL)
def neural(request: pytest.FixtureRequest) -> LanguageModel:
    return model_of(request.param)


def test_64_tokens_at_once_equal_4_times_16_with_carried_state(model: LanguageModel):
    inputs = torch.randint(0, 11, (3, 64))
    whole, end = model(inputs, model.initial_state(3))
    state, parts = model.initial_state(3), []
    for start in range(0, 64, 16):
        logits, state = model(inputs[:, start : start + 16], state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    for mine, theirs in zip(state, end, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_logits_and_state_have_the_shapes_of_the_contract(model: LanguageModel):
    logits, state = model(torch.zeros(3, 5, dtype=torch.int64), model.initial_state(3))
    assert logits.shape == (3, 5, 11)
    for part, initial in zip(state, model.initial_state(3), strict=True):
        assert part.shape == initial.shape
        assert part.shape[0] == 3


def test_no_gradient_crosses_a_detached_state(neural: LanguageModel):
    neural.train()
    inputs = torch.randint(0, 11, (3, 8))
    first, state = neural(inputs, neural.initial_state(3))
    first.retain_grad()
    second, _ = neural(inputs, detach_state(state))
    second.sum().backward()
    assert first.grad is None


def test_gradient_crosses_a_carried_state(neural: LanguageModel):
    inputs = torch.randint(0, 11, (3, 8))
    _, state = neural(inputs, neural.initial_state(3))
    state[0].retain_grad()
    logits, _ = neural(inputs, state)
    logits.sum().backward()
    assert state[0].grad is not None
    assert state[0].grad.abs().sum() > 0


def test_fresh_lanes_are_reset_and_the_others_keep_their_state(model: LanguageModel):
    inputs = torch.randint(0, 11, (2, 8))
    _, state = model(inputs, model.initial_state(2))
    reset = model.reset_state(state, torch.tensor([True, False]))
    for part, before, initial in zip(reset, state, model.initial_state(2), strict=True):
        assert torch.equal(part[0], initial[0])
        assert torch.equal(part[1], before[1])


def test_the_model_does_not_grow_with_the_context(model: LanguageModel):
    before = model.parameter_count
    _, state = model(torch.zeros(1, 1000, dtype=torch.int64), model.initial_state(1))
    assert model.parameter_count == before
    assert [part.shape for part in state] == [part.shape for part in model.initial_state(1)]
