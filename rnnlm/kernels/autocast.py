"""Autocast for the functions here: it sets the precision of matrix products and nothing else."""

from typing import Any

import torch
from torch import Tensor


def products_dtype(weight: Tensor) -> torch.dtype:
    """Return the dtype for products with `weight`: autocast's if it is enabled, else its own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def apply(function: type[torch.autograd.Function], weight: Tensor, *arguments: Any) -> Any:
    """Call an autograd function with autocast disabled.

    The dtype that the function should use for matrix products (see `products_dtype`) is passed to
    it as an additional last argument.

    Args:
        function: The autograd function.
        weight: The matrix that determines the precision. It is not passed to the function, unless
            it is also in `arguments`.
        arguments: All arguments of the function except the last.
    """
    products = products_dtype(weight)
    with torch.autocast(weight.device.type, enabled=False):
        return function.apply(*arguments, products)  # type: ignore[no-untyped-call]


def weight_gradient(grads: Tensor, states: Tensor, like: Tensor) -> Tensor:
    """Return the gradient of a recurrent matrix.

    One matrix product sums the contributions of all time steps and lanes (rows of the batch).

    Args:
        grads: Gradients of the results of the products with the matrix, shape (time, batch, gates).
        states: The hidden states that the matrix was multiplied by, shape (time, batch, hidden), in
            the same dtype.
        like: The matrix, shape (gates, hidden), whose dtype the result has.
    """
    return torch.mm(grads.flatten(0, 1).t(), states.flatten(0, 1)).to(like.dtype)
