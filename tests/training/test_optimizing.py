import subprocess
import sys

import pytest
import torch
from torch import nn

from rnnlm.config import TrainingConfig
from rnnlm.training.optimizing import WeightAverage, learning_rate, optimizer_of, step_of
from tests.conftest import ROOT


def test_the_learning_rate_climbs_and_falls():
    config = TrainingConfig(warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(config, share / 100) for share in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_other_schedules_stay_at_the_peak(schedule: str):
    config = TrainingConfig(warmup=0.1, learning_rate=1.0, schedule=schedule)
    assert {learning_rate(config, share / 10) for share in range(1, 11)} == {1.0}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "muon"])
def test_only_matrices_decay(name: str):
    config = TrainingConfig(optimizer=name, weight_decay=0.5)
    groups = optimizer_of(nn.Linear(3, 2), config).param_groups
    assert [group["weight_decay"] for group in groups][:2] == [0.5, 0.0]
    assert [p.dim() for group in groups for p in group["params"]] == [2, 1]


def averaged(config: TrainingConfig, values: list[float], worse: list[int]) -> WeightAverage:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, config)
    for value, worse_in_a_row in zip(values, worse, strict=True):
        nn.init.constant_(model.weight, value)
        average.update(worse_in_a_row)
    return average


def test_the_exponential_average_decays_as_documented():
    config = TrainingConfig(averaging="exponential", average_decay=0.5)
    expected = 1.0
    for step, value in enumerate([2.0, 3.0, 4.0], start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    average = averaged(config, [1.0, 2.0, 3.0, 4.0], [0] * 4)
    assert average.weights["weight"].item() == pytest.approx(expected)


def test_the_triggered_average_is_the_mean_since_the_trigger():
    config = TrainingConfig(averaging="triggered", trigger=2)
    average = averaged(config, [9.0, 9.0, 1.0, 2.0, 6.0], [0, 1, 2, 0, 0])
    assert average.weights["weight"].item() == pytest.approx(3.0)
    assert average.steps == 3


def test_the_average_is_applied_to_the_model_and_reverted():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, TrainingConfig(averaging="triggered", trigger=1))
    for value in (1.0, 3.0):
        nn.init.constant_(model.weight, value)
        average.update(worse_in_a_row=1)
    with average.applied():
        assert model.weight.item() == 2.0
    assert model.weight.item() == 3.0


def test_without_averaging_the_model_is_unchanged():
    model = nn.Linear(1, 1)
    average = WeightAverage(model, TrainingConfig())
    before = model.weight.clone()
    average.update(worse_in_a_row=99)
    with average.applied():
        assert torch.equal(model.weight, before)


KINDS = ["adamw", "adam", "sgd", "muon"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_torch(kind: str):
    def stepped(step: bool) -> list[torch.Tensor]:
        torch.manual_seed(5)
        model = nn.Linear(20, 30)
        optimizer = optimizer_of(model, TrainingConfig(optimizer=kind))
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 20)).square().sum().backward()
            if step:
                optimizer.step()
            else:
                step_of(optimizer)()
        return [parameter.detach() for parameter in model.parameters()]

    torch.testing.assert_close(stepped(True), stepped(False), rtol=0.0, atol=0.0)


def test_training_does_not_import_the_compiler_of_torch():
    script = f"""
import sys, torch
from rnnlm.config import TrainingConfig
from rnnlm.training.optimizing import optimizer_of, step_of
model = torch.nn.Linear(20, 30)
for kind in {KINDS}:
    optimizer = optimizer_of(model, TrainingConfig(optimizer=kind))
    model(torch.ones(4, 20)).sum().backward()
    step_of(optimizer)()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
