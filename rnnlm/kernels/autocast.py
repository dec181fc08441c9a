"""How the layers here answer autocast: products in its precision, everything else as it was."""

import torch
from torch import Tensor


def products_dtype(weight: Tensor) -> torch.dtype:
    """Return the precision in which to multiply by `weight`: autocast's, or else its own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def weight_gradient(grads: Tensor, states: Tensor, like: Tensor) -> Tensor:
    """Return the gradient of a recurrent matrix, over all steps and lanes in one product.

    Args:
        grads: (time, batch, gates), of the sums that the matrix went into.
        states: (time, batch, hidden), what it was multiplied by, in the same precision.
        like: The matrix (gates, hidden).
    """
    return torch.mm(grads.flatten(0, 1).t(), states.flatten(0, 1)).to(like.dtype)
