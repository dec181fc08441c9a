"""Layers on a GPU: one cuDNN call computes all time steps, both products and the cells."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from rnnlm.kernels.autocast import products_dtype

BF16_SINCE = 91300
"""First version of cuDNN whose recurrent layers accept bfloat16; older ones use float32 here.

Source: pull request 164411 of pytorch/pytorch.
"""


def cudnn_layer(
    kind: Literal["lstm", "gru"],
    inputs: Tensor,
    state: tuple[Tensor, ...],
    weights: list[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one recurrent layer over a window; differentiable in all arguments.

    Autocast is switched off here, because it would make cuDNN compute in float16 whatever precision
    was requested, and small gradients would be lost.

    Args:
        kind: Kind of the layer.
        inputs: (time, batch, input).
        state: h, and c of an LSTM, before the first step; each (batch, hidden).
        weights: W (gates, input), U (gates, hidden), the bias of W, and the bias of U.

    Returns:
        The outputs (time, batch, hidden) in the precision of the products, and the state after the
        last step in the precision of the weights.
    """
    own = weights[0].dtype
    products = products_dtype(weights[0])
    version: int = torch.backends.cudnn.version() or 0  # type: ignore[no-untyped-call]
    if products == torch.bfloat16 and version < BF16_SINCE:
        products = own
    inputs = inputs.to(products)
    weights = [weight.to(products) for weight in weights]
    start = [part[None].to(products).contiguous() for part in state]
    # has biases; layers; dropout; training; both directions; batch first
    how = True, 1, 0.0, torch.is_grad_enabled(), False, False
    with warnings.catch_warnings(), torch.autocast(inputs.device.type, enabled=False):
        # With weight dropout, the weights are new tensors each step, so they are not contiguous.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        if kind == "lstm":
            outputs, *after = torch._VF.lstm(inputs, start, weights, *how)
        else:
            outputs, *after = torch._VF.gru(inputs, start[0], weights, *how)
    return outputs, tuple(part[0].to(own) for part in after)
