"""Test the loss over a sample of the vocabulary against the loss over the whole vocabulary."""

import pytest
import torch
from torch import Tensor

from rnnlm.kernels.cross_entropy import LOGITS_AT_ONCE, linear_cross_entropy
from rnnlm.kernels.sampled_softmax import sampled_cross_entropy

ROWS, SIZE, VOCAB = 13, 5, 40
SAMPLE = torch.tensor([0, 3, 4, 11, 17, 39])


def arguments(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor, Tensor]:
    torch.manual_seed(3)
    shapes = ((ROWS, SIZE), (VOCAB, SIZE), (VOCAB,))
    leaves = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    targets = torch.randint(VOCAB, (ROWS,))
    targets[:2] = SAMPLE[1:3]  # some targets are in the sample
    return leaves, targets, torch.rand(ROWS) < 0.7


@pytest.fixture(params=[1, 100, 1 << 20], autouse=True)
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGITS_AT_ONCE, "cpu", request.param)


def test_a_sample_of_the_whole_vocabulary_gives_the_full_loss():
    leaves, targets, counts = arguments()
    everything = torch.arange(VOCAB), torch.zeros(VOCAB, dtype=torch.float64)
    loss = sampled_cross_entropy(*leaves, targets, counts, *everything)
    expected, _ = linear_cross_entropy(*leaves, targets, counts)
    torch.testing.assert_close(loss, expected)
    mine, other = (torch.autograd.grad(3.0 * total, leaves) for total in (loss, expected))
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two)


def test_gradients_match_finite_differences():
    leaves, targets, counts = arguments()
    log_shares = torch.linspace(-2.0, 0.0, len(SAMPLE), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *three: sampled_cross_entropy(*three, targets, counts, SAMPLE, log_shares), leaves
    )


def test_the_normaliser_is_right_in_expectation():
    leaves, targets, _ = arguments()
    row, target, counts = leaves[0][:1].detach(), targets[:1], torch.tensor([True])
    weight, bias = (leaf.detach() for leaf in leaves[1:])
    score = weight[target[0]] @ row[0] + bias[target[0]]
    exact = (weight @ row[0] + bias).exp().sum()
    shares = torch.linspace(0.2, 1.0, VOCAB, dtype=torch.float64)
    found = []
    for _ in range(2000):
        ids = (torch.rand(VOCAB) < shares).nonzero()[:, 0]
        loss = sampled_cross_entropy(row, weight, bias, target, counts, ids, shares[ids].log())
        found.append((loss + score).exp())
    assert torch.stack(found).mean() == pytest.approx(exact.item(), rel=0.05)


def test_masked_rows_may_be_nan():
    leaves, targets, counts = arguments()
    with torch.no_grad():
        leaves[0][~counts] = torch.nan
    log_shares = torch.zeros(len(SAMPLE), dtype=torch.float64)
    loss = sampled_cross_entropy(*leaves, targets, counts, SAMPLE, log_shares)
    gradients = torch.autograd.grad(loss, leaves)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradients[0][counts]).all()


def test_products_in_bfloat16_stay_close():
    leaves, targets, counts = arguments(torch.float32)
    given = *leaves, targets, counts, SAMPLE, torch.full((len(SAMPLE),), -1.0)
    exact = sampled_cross_entropy(*given)
    with torch.autocast("cpu", torch.bfloat16):
        close = sampled_cross_entropy(*given)
    assert close.item() == pytest.approx(exact.item(), rel=0.01)
    mine, other = (torch.autograd.grad(total, leaves) for total in (close, exact))
    for one, two in zip(mine, other, strict=True):
        assert (one - two).norm() < 0.02 * two.norm()


def test_a_sample_may_be_empty():
    leaves, targets, counts = arguments()
    nothing = torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
    loss = sampled_cross_entropy(*leaves, targets, counts, *nothing)
    assert loss == 0.0  # the target alone has probability 1
    assert all((part == 0.0).all() for part in torch.autograd.grad(loss, leaves))
