from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn

from rnnlm.training import gradients
from rnnlm.training.gradients import GradientSum
from rnnlm.training.group import Group


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of one process, in which every sum is the process's own value."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> nn.Sequential:
    """A small network, each of whose parameters fills a bucket."""
    monkeypatch.setattr(gradients, "BUCKET_BYTES", 1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def sent_by(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of values in each sum; return the list, which grows."""
    sizes: list[int] = []
    real = distributed.all_reduce

    def reduce(values: torch.Tensor, **options: bool) -> object:
        sizes.append(values.numel())
        return real(values, **options)

    monkeypatch.setattr(distributed, "all_reduce", reduce)
    return sizes


@pytest.mark.parametrize(("precision", "error"), [("fp32", 0.0), ("bf16", 2**-8)])
def test_gradients_keep_their_values(alone, network, monkeypatch, precision, error):
    sizes = sent_by(network, monkeypatch)
    summed = GradientSum(network.parameters(), Group(0, 2), precision)
    inputs = torch.randn(5, 3)
    expected = torch.autograd.grad(network(inputs).square().sum(), [*network.parameters()])
    for _ in range(2):
        network.zero_grad()
        network(inputs).square().sum().backward()
        assert sizes == [2, 8, 4, 12]  # all are on their way before the backward pass returns
        assert summed.finish(torch.tensor(7.0)) == 7.0
        assert sizes.pop() == 1
        sizes.clear()
        for parameter, value in zip(network.parameters(), expected, strict=True):
            assert ((parameter.grad - value).abs() <= error * value.abs()).all()


def test_a_process_without_lanes_sends_zeros(alone, network, monkeypatch):
    sizes = sent_by(network, monkeypatch)
    summed = GradientSum(network.parameters(), Group(1, 2), "fp32")
    assert summed.finish(torch.tensor(0.0)) == 0.0
    assert sizes == [1, 2, 8, 4, 12]
    assert all(not parameter.grad.any() for parameter in network.parameters())


def test_parameters_without_a_gradient_hold_up_only_what_follows(alone, network, monkeypatch):
    sizes = sent_by(network, monkeypatch)
    summed = GradientSum(network.parameters(), Group(0, 2), "fp32")
    network[2].weight.requires_grad_(False)
    network(torch.randn(5, 3)).sum().backward()
    assert sizes == [2]
    summed.finish(torch.tensor(0.0))
    assert sizes == [2, 1, 8, 4, 12]
    assert not network[2].weight.grad.any()
    assert network[0].weight.grad.any()
