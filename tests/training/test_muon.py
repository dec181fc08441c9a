import math

import pytest
import torch
from torch import nn

from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.models import build
from rnnlm.training.muon import MOMENTUM, Muon, orthogonalise, parts_of
from rnnlm.training.optimizing import optimizer_of


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 8), (40, 12), (12, 40), (128, 128)])
def test_all_directions_get_about_the_same_length(shape: tuple[int, int], products: torch.dtype):
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalise(matrix, products) / math.sqrt(max(shape))
    assert result.dtype == torch.float32
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3
    assert values.median() > 0.7
    inner = (u.T @ result @ v.T).diag()  # the directions stay those of the matrix
    assert (inner[: min(shape) // 2] > 0.6).all()


def test_rounding_errors_do_not_grow_from_step_to_step():
    left, right = (torch.linalg.qr(torch.randn(64, 64)).Q for _ in range(2))
    matrix = left @ torch.diag(torch.logspace(0, -3, 64)) @ right
    assert torch.linalg.svdvals(orthogonalise(matrix, torch.bfloat16)).max() < 1.3 * 8


@pytest.mark.parametrize(
    ("side", "parts"), [(1, 1), (128, 1), (129, 1), (200, 2), (512, 4), (1150, 10), (4600, 40)]
)
def test_a_side_is_cut_into_equal_parts(side: int, parts: int):
    assert parts_of(side) == parts


def test_each_block_is_orthogonalised_separately():
    matrix = torch.randn(256, 384)
    matrix[:128, :128] *= 1e-3
    result = orthogonalise(matrix)
    for rows in (slice(0, 128), slice(128, 256)):
        for columns in (slice(0, 128), slice(128, 256), slice(256, 384)):
            own = orthogonalise(matrix[rows, columns].clone())
            torch.testing.assert_close(result[rows, columns], own, rtol=1e-4, atol=1e-4)
    assert 0.8 < result.square().mean() < 1.2


def test_a_gradient_of_zeros_changes_nothing():
    assert not orthogonalise(torch.zeros(256, 16)).any()


def test_a_step_follows_the_equations_in_the_docstring():
    weight = nn.Parameter(torch.randn(6, 4))
    before = weight.detach().clone()
    optimizer = Muon([{"params": [weight], "weight_decay": 0.1, "orthogonal": True}], lr=0.05)
    momentum = torch.zeros(6, 4)
    expected = before
    for _ in range(3):
        gradient = torch.randn(6, 4)
        weight.grad = gradient.clone()
        optimizer.step()
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        update = orthogonalise((1 - MOMENTUM) * gradient + MOMENTUM * momentum)
        expected = (1 - 0.05 * 0.1) * expected - 0.2 * 0.05 * update
        torch.testing.assert_close(weight.detach(), expected)


def test_all_parameters_except_layer_matrices_use_adamw():
    model = build(ModelConfig(hidden_size=16, embedding_size=16, num_layers=2), 11)
    optimizer = optimizer_of(model, TrainingConfig(optimizer="muon"))
    orthogonal = [p for g in optimizer.param_groups if g["orthogonal"] for p in g["params"]]
    assert {id(p) for p in orthogonal} == {
        id(p) for layer in model.layers for p in (layer.W, layer.U)
    }
    everything = [id(p) for g in optimizer.param_groups for p in g["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())


def test_convolutions_are_not_orthogonalised():
    model = build(ModelConfig(architecture="mingru", hidden_size=32, embedding_size=32), 11)
    optimizer = optimizer_of(model, TrainingConfig(optimizer="muon"))
    taken = [p for g in optimizer.param_groups if g["orthogonal"] for p in g["params"]]
    assert taken
    assert all(min(p.shape) >= 16 for p in taken)
