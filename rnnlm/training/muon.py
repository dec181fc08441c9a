"""Muon: momentum whose every direction counts alike, for the matrices of recurrent layers.

With G the gradient of a matrix, μ the momentum, and η the learning rate,

    M ← μ M + (1 − μ) G            O = orthogonalise((1 − μ) G + μ M)
    W ← (1 − η λ) W − 0.2 √max(rows, columns) η O

where orthogonalise replaces all singular values by about 1, by five steps of

    X ← a X + (b A + c A²) X,    A = X Xᵀ,    (a, b, c) = (3.4445, −4.7750, 2.0315)

Factor 0.2 √max makes an update as large as one of AdamW, so that both take one learning rate.
`torch.optim.Muon` computes in bfloat16 always, which a CPU without it does many times slower.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the factor,
Liu et al. 2025, "Muon is scalable for LLM training".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

STEPS = 5
MOMENTUM = 0.95
_A, _B, _C = 3.4445, -4.7750, 2.0315
_UPDATE_SIZE = 0.2
_TINY = 1e-7


class Muon(torch.optim.AdamW):
    """Muon for the groups marked `orthogonal`, AdamW for all others.

    A group is a dict with `params`, and for matrices `orthogonal = True`.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, products: torch.dtype = torch.float32
    ) -> None:
        """Keep the groups; momenta are made at the first step.

        Args:
            groups: Parameters; see above.
            lr: Learning rate of all of them.
            products: Precision of the products that orthogonalise, float32 or bfloat16.
        """
        self._products = products
        marked = [{"orthogonal": False, "momentum": MOMENTUM, **group} for group in groups]
        super().__init__(marked, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the weights, which are mutated."""
        assert closure is None
        everything = self.param_groups
        self.param_groups = [group for group in everything if not group["orthogonal"]]
        try:
            super().step()
        finally:
            self.param_groups = everything
        for group in everything:
            if group["orthogonal"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._step_matrix(weight, weight.grad, group)

    def _step_matrix(self, weight: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:  # named as AdamW names it, which loads all states
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
        average = state["exp_avg"].lerp_(gradient, 1.0 - group["momentum"])
        update = orthogonalise(gradient.lerp(average, group["momentum"]), self._products)
        size = _UPDATE_SIZE * math.sqrt(max(weight.shape))
        weight.mul_(1.0 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * size)


def orthogonalise(
    matrix: Float[Tensor, "rows columns"], products: torch.dtype = torch.float32
) -> Float[Tensor, "rows columns"]:
    """Return the matrix with its singular values brought to between about 0.7 and 1.2."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + _TINY)
    orthogonal = _by_gram(x) if products == torch.float32 else _by_steps(x.to(products))
    turned = orthogonal if matrix.shape[0] <= matrix.shape[1] else orthogonal.T
    return turned.to(matrix.dtype)


def _by_gram(x: Float[Tensor, "side length"]) -> Float[Tensor, "side length"]:
    """Take all steps on A, which is small, and apply their product to X once.

    All that multiplies X is a polynomial in A. Fewest operations, but rounding errors grow.
    """
    gram = x @ x.T
    product = _polynomial(gram)
    polynomial = product
    for _ in range(STEPS - 1):
        gram = polynomial @ gram @ polynomial
        polynomial = _polynomial(gram)
        product = polynomial @ product
    return product @ x


def _by_steps(x: Float[Tensor, "side length"]) -> Float[Tensor, "side length"]:
    """Take the steps on X itself: whatever is rounded, the next step brings near again."""
    for _ in range(STEPS):
        x = _polynomial(x @ x.T) @ x
    return x


def _polynomial(gram: Float[Tensor, "side side"]) -> Float[Tensor, "side side"]:
    """Return a I + b A + c A²."""
    result = torch.addmm(gram, gram, gram, beta=_B, alpha=_C)
    result.diagonal().add_(_A)
    return result
