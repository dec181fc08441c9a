"""Muon, an optimizer for the weight matrices of recurrent layers.

Muon replaces the usual update of a matrix by one with nearly equal singular values, so that all
directions are updated by about the same amount. With W a weight matrix, G its gradient, M its
momentum, μ the momentum's decay, η the learning rate and λ the weight decay,

    M ← μ M + (1 − μ) G            O = orthogonalise((1 − μ) G + μ M)
    W ← (1 − η λ) W − 0.2 η O

The function orthogonalise cuts a matrix into blocks of at most 128 × 128, and brings all singular
values of each block close to 1 by three steps of

    X ← a X + (b A + c A²) X,    A = X Xᵀ

where X starts as the block divided by its norm, and a, b, c are numbers that differ between the
steps. Then it multiplies the block by √max(rows, columns), which makes the mean square of its
entries 1. The factor 0.2 makes an update as large as one of AdamW, so that both can use the same
learning rate. For a layer of width 512, the matrix products of the blocks cost a fifth of those of
the whole matrix, and the loss falls by more in each step (docs/experiments.md).

Sources: Muon, Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the
factor 0.2, Liu et al. 2025, "Muon is scalable for LLM training"; the values of a, b and c, which
minimise the maximal error for singular values between 0.01 and 1, Amsel et al. 2025, "The Polar
Express"; blocks, Khaled et al. 2025, "MuonBP".
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

MOMENTUM = 0.95
SIDE = 128
"""Largest number of rows or columns of a block."""
STEPS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
"""The coefficients a, b and c of each of the three steps of orthogonalise."""
_ROOM = 1.02
"""Safety factor on the norm that a block is divided by.

It keeps all singular values below 1 in spite of rounding errors.
"""
_UPDATE_SIZE = 0.2
_TINY = 1e-9
_step_adamw = inspect.unwrap(torch.optim.AdamW.step)  # see rnnlm.training.optimizing.step_of


class Muon(torch.optim.AdamW):
    """Optimizer that applies Muon to the parameter groups marked `orthogonal`, AdamW to all others.

    A group is a dict with the key `params`, as for any torch optimizer. A group of matrices for
    Muon also has `orthogonal = True`.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, products: torch.dtype = torch.float32
    ) -> None:
        """Store the groups; the momentum of each weight is created at the first step.

        Args:
            groups: Parameter groups; see the class.
            lr: Learning rate of all groups.
            products: Precision of the matrix products in `orthogonalise`: float32 or bfloat16.
        """
        self._products = products
        marked = [{"orthogonal": False, "momentum": MOMENTUM, **group} for group in groups]
        super().__init__(marked, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the weights in place."""
        assert closure is None
        everything = self.param_groups
        self.param_groups = [group for group in everything if not group["orthogonal"]]
        try:
            _step_adamw(self)
        finally:
            self.param_groups = everything
        for group in everything:
            if group["orthogonal"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._step_matrix(weight, weight.grad, group)

    def _step_matrix(self, weight: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:  # AdamW loads the state of all groups, so use its names
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
        average = state["exp_avg"].lerp_(gradient, 1.0 - group["momentum"])
        update = orthogonalise(gradient.lerp(average, group["momentum"]), self._products)
        weight.mul_(1.0 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-_UPDATE_SIZE * group["lr"])


def orthogonalise(
    matrix: Float[Tensor, "rows columns"], products: torch.dtype = torch.float32
) -> Float[Tensor, "rows columns"]:
    """Cut a matrix into blocks and make the singular values of each block nearly equal.

    The singular values of a block become about 0.7 to 1.3 times √max(rows, columns), where rows and
    columns are those of the block. A singular value of 0 stays 0.

    Args:
        matrix: The matrix; not modified.
        products: Precision of the matrix products: float32 or bfloat16.
    """
    rows, columns = matrix.shape
    height, width = rows // parts_of(rows), columns // parts_of(columns)
    blocks = matrix.view(-1, height, columns // width, width).transpose(1, 2)
    shape = blocks.shape
    blocks = blocks.reshape(-1, height, width)
    result = _steps(blocks, products) if height <= width else _steps(blocks.mT, products).mT
    joined = result.reshape(shape).transpose(1, 2).reshape(rows, columns)
    scaled: Tensor = joined.to(matrix.dtype).mul_(math.sqrt(max(height, width)))
    return scaled


def parts_of(side: int) -> int:
    """Return the number of equal parts to cut a side of a matrix into.

    It is the smallest number that gives parts of at most `SIDE` rows or columns. If there is no
    such number with parts of at least half of `SIDE`, the side is not cut, and the result is 1.

    Args:
        side: Number of rows or columns of the matrix.
    """
    fewest, most = -(-side // SIDE), 2 * side // SIDE
    return next((parts for parts in range(fewest, most + 1) if side % parts == 0), 1)


def _steps(
    blocks: Float[Tensor, "blocks side length"], products: torch.dtype
) -> Float[Tensor, "blocks side length"]:
    """Apply the steps of orthogonalise to a batch of blocks; `side` must be at most `length`."""
    norms = blocks.norm(dim=(1, 2), keepdim=True)
    x = (blocks / (norms + _TINY)).to(products)
    for number, (a, b, c) in enumerate(STEPS):
        gram = x @ x.mT
        if not number:  # √‖X Xᵀ‖ is at least the largest singular value, and close to it
            square = gram.float().norm(dim=(1, 2), keepdim=True) * _ROOM + _TINY
            gram, x = (gram / square).to(products), (x / square.sqrt()).to(products)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        x = polynomial @ x
    orthogonal: Tensor = x
    return orthogonal
