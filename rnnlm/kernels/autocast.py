"""Autocast for the layers here: it sets the precision of products and of nothing else."""

from typing import Any

import torch
from torch import Tensor


def products_dtype(weight: Tensor) -> torch.dtype:
    """Return the precision in which to multiply by `weight`: that of autocast, else its own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def apply(function: type[torch.autograd.Function], weight: Tensor, *arguments: Any) -> Any:
    """Apply an autograd function outside autocast, with the products' precision added last.

    Args:
        function: The function to apply.
        weight: The matrix that determines the precision; passed on only if it is in `arguments`.
        arguments: All arguments of the function but the last.
    """
    products = products_dtype(weight)
    with torch.autocast(weight.device.type, enabled=False):
        return function.apply(*arguments, products)  # type: ignore[no-untyped-call]


def weight_gradient(grads: Tensor, states: Tensor, like: Tensor) -> Tensor:
    """Return the gradient of a recurrent matrix, over all steps and lanes in one product.

    Args:
        grads: (time, batch, gates), gradients of the sums that the matrix contributed to.
        states: (time, batch, hidden), states that it was multiplied by, in the same precision.
        like: The matrix (gates, hidden).
    """
    return torch.mm(grads.flatten(0, 1).t(), states.flatten(0, 1)).to(like.dtype)
