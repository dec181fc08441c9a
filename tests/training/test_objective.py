import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from rnnlm.batching import Window
from rnnlm.config import TrainingConfig
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.training.objective import Objective, objective
from tests.conftest import tiny_experiment

VOCAB = 7


@pytest.fixture
def model() -> NeuralLanguageModel:
    built = build(tiny_experiment().model, VOCAB).double()
    assert isinstance(built, NeuralLanguageModel)
    return built


def window_of(lengths: list[int], time: int) -> Window:
    torch.manual_seed(1)
    mask = torch.arange(time) < torch.tensor(lengths)[:, None]
    lanes = len(lengths)
    return Window(
        inputs=torch.randint(0, VOCAB, (lanes, time)),
        targets=torch.randint(0, VOCAB, (lanes, time)),
        mask=mask,
        fresh=torch.ones(lanes, dtype=torch.bool),
        documents=torch.arange(lanes),
        tokens=sum(lengths),
    )


def objective_of(model: NeuralLanguageModel, window: Window, **settings: Any) -> Objective:
    config = TrainingConfig(**settings)
    state = model.initial_state(len(window.fresh))
    return objective(model, window, state, config, window.tokens, torch.float32)


def test_the_loss_is_the_mean_surprise_of_unmasked_targets(model: NeuralLanguageModel):
    window = window_of([5, 2, 1], 5)
    logits, _ = model(window.inputs, model.initial_state(3))
    chosen = torch.log_softmax(logits, -1).gather(-1, window.targets[..., None])[..., 0]
    result = objective_of(model, window)
    torch.testing.assert_close(result.loss, -(chosen[window.mask]).mean())
    torch.testing.assert_close(result.nll_nats, -(chosen[window.mask]).sum().detach())


def test_padding_changes_nothing(model: NeuralLanguageModel):
    short, padded = window_of([3, 3], 3), window_of([3, 3], 9)
    padded.inputs[:, :3], padded.targets[:, :3] = short.inputs, short.targets
    for window in (short, padded):
        model.zero_grad()
        objective_of(model, window).loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        if window is short:
            expected = gradients
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_smoothing_affects_the_loss_and_not_the_reported_nats(model: NeuralLanguageModel):
    window = window_of([4], 4)
    plain, smooth = objective_of(model, window), objective_of(model, window, label_smoothing=0.1)
    logits, _ = model(window.inputs, model.initial_state(1))
    uniform = -torch.log_softmax(logits, -1).mean(-1).mean()
    torch.testing.assert_close(smooth.loss, 0.9 * plain.loss + 0.1 * uniform)
    assert smooth.nll_nats == plain.nll_nats


def test_penalties_are_the_mean_squares_of_outputs_and_of_their_change(model: NeuralLanguageModel):
    window = window_of([4, 4], 4)
    plain = objective_of(model, window).loss
    features, _ = model.features(window.inputs, model.initial_state(2))
    activation = objective_of(model, window, activation_penalty=2.0).loss - plain
    torch.testing.assert_close(activation, 2.0 * features.square().mean())
    temporal = objective_of(model, window, temporal_penalty=3.0).loss - plain
    change = features[:, 1:] - features[:, :-1]
    torch.testing.assert_close(temporal, 3.0 * change.square().mean(2).sum() / 8)


def test_padding_is_not_penalised(model: NeuralLanguageModel):
    settings = {"activation_penalty": 2.0, "temporal_penalty": 3.0}
    short, padded = window_of([3, 3], 3), window_of([3, 3], 9)
    padded.inputs[:, :3], padded.targets[:, :3] = short.inputs, short.targets
    loss = objective_of(model, short, **settings).loss
    torch.testing.assert_close(objective_of(model, padded, **settings).loss, loss)


def test_bf16_is_close_and_the_loss_stays_in_single_precision(model: NeuralLanguageModel):
    model.float()
    window = window_of([6, 6], 6)
    state = model.initial_state(2)
    config = TrainingConfig()
    exact = objective(model, window, state, config, 12, torch.float32)
    close = objective(model, window, state, config, 12, torch.bfloat16)
    assert close.loss.dtype == torch.float32
    assert close.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    close.loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_many_gradients_of_one_token_sum_accurately_in_bf16(model: NeuralLanguageModel):
    model.float()
    window, config = window_of([128] * 32, 128), TrainingConfig()
    gradients = []
    for precision in (torch.float32, torch.bfloat16):
        model.zero_grad()
        state = model.initial_state(32)
        objective(model, window, state, config, window.tokens, precision).loss.backward()
        gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )
    for name, exact in gradients[0].items():
        assert (gradients[1][name] - exact).norm() < 0.02 * exact.norm(), name


def test_losses_of_shares_add_up_to_that_of_the_batch(model: NeuralLanguageModel):
    whole = window_of([4, 1, 2, 3], 4)
    config = TrainingConfig(activation_penalty=1.0, temporal_penalty=1.0)
    total = objective(model, whole, model.initial_state(4), config, 10, torch.float32).loss
    halves = [
        Window(
            whole.inputs[lanes],
            whole.targets[lanes],
            whole.mask[lanes],
            whole.fresh[lanes],
            whole.documents[lanes],
            5,
        )
        for lanes in (slice(0, 2), slice(2, 4))
    ]
    parts = [
        objective(model, half, model.initial_state(2), config, 10, torch.float32).loss
        for half in halves
    ]
    torch.testing.assert_close(sum(parts), total)


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary(model: NeuralLanguageModel):
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    loss = objective_of(model, window_of([5, 3], 5)).loss
    assert loss.item() == pytest.approx(math.log(VOCAB))
    flat = functional.cross_entropy(torch.zeros(1, VOCAB), torch.zeros(1, dtype=torch.int64))
    assert flat.item() == pytest.approx(loss.item())
