"""Test the fused output layer and loss against torch's linear layer and cross-entropy."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.kernels import cross_entropy
from rnnlm.kernels.cross_entropy import linear_cross_entropy

ROWS, SIZE, VOCAB = 13, 5, 9


def arguments(dtype: Any = torch.float64) -> tuple[list[Tensor], Tensor, Tensor]:
    torch.manual_seed(3)
    shapes = ((ROWS, SIZE), (VOCAB, SIZE), (VOCAB,))
    leaves = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    return leaves, torch.randint(VOCAB, (ROWS,)), torch.rand(ROWS) < 0.7


def theirs(leaves: list[Tensor], targets: Tensor, counts: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(
        functional.linear(*leaves),
        targets.masked_fill(~counts, -1),
        ignore_index=-1,
        reduction="sum",
        label_smoothing=smoothing,
    )


@pytest.fixture(params=[1, 4 * VOCAB, 1 << 20])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cross_entropy.LOGITS_AT_ONCE, "cpu", request.param)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradients_match_torch(smoothing: float):
    leaves, targets, counts = arguments()
    loss, nats = linear_cross_entropy(*leaves, targets, counts, smoothing)
    expected = theirs(leaves, targets, counts, smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nats, theirs(leaves, targets, counts, 0.0).detach())
    assert not nats.requires_grad
    mine, other = (torch.autograd.grad(3.0 * total, leaves) for total in (loss, expected))
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.usefixtures("_pieces")
def test_gradients_match_finite_differences():
    leaves, targets, counts = arguments()
    assert torch.autograd.gradcheck(
        lambda *three: linear_cross_entropy(*three, targets, counts, 0.1)[0], leaves
    )


def test_masked_rows_may_be_nan():
    leaves, targets, counts = arguments()
    with torch.no_grad():
        leaves[0][~counts] = torch.nan
    loss, nats = linear_cross_entropy(*leaves, targets, counts)
    assert torch.isfinite(loss)
    assert torch.isfinite(nats)


def test_products_in_bfloat16_stay_close():
    leaves, targets, counts = arguments(torch.float32)
    exact = linear_cross_entropy(*leaves, targets, counts)[0]
    with torch.autocast("cpu", torch.bfloat16):
        close = linear_cross_entropy(*leaves, targets, counts)[0]
    assert close.dtype == torch.float32
    assert close.item() == pytest.approx(exact.item(), rel=0.01)
    mine, other = (torch.autograd.grad(total, leaves) for total in (close, exact))
    for one, two in zip(mine, other, strict=True):
        assert (one - two).norm() < 0.02 * two.norm()


def test_no_gradient_is_computed_unless_needed(monkeypatch: pytest.MonkeyPatch):
    leaves, targets, counts = arguments()
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(torch, "mm", None)  # only gradients use it
        assert not linear_cross_entropy(*leaves, targets, counts)[0].requires_grad
    frozen = [leaf.detach() for leaf in leaves]
    frozen[2].requires_grad_()
    loss = linear_cross_entropy(*frozen, targets, counts)[0]
    assert torch.autograd.grad(loss, frozen[2])[0].shape == (VOCAB,)
