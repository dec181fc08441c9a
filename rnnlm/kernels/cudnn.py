"""Recurrent layers on a GPU: one call of cuDNN computes a whole layer for all time steps."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from rnnlm.kernels.autocast import products_dtype

BF16_SINCE = 91300
"""First version of cuDNN whose recurrent layers accept bfloat16.

With older versions, layers are computed in float32 here.

Source: pull request 164411 of pytorch/pytorch.
"""


def cudnn_layer(
    kind: Literal["lstm", "gru"],
    inputs: Tensor,
    state: tuple[Tensor, ...],
    weights: list[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one recurrent layer over all time steps; differentiable with respect to all tensors.

    The call itself runs without autocast, under which cuDNN would compute in float16 even if
    bfloat16 was requested, and small gradients would be lost.

    Args:
        kind: Kind of the layer.
        inputs: The layer's inputs x, shape (time, batch, input).
        state: State before the first time step: the hidden state h and, for an LSTM, the cell c,
            each of shape (batch, hidden).
        weights: Four tensors: the matrix W of the inputs, shape (gates, input), the recurrent
            matrix U, shape (gates, hidden), the bias added to W x, and the bias added to U h.

    Returns:
        The outputs, shape (time, batch, hidden), in the dtype in which cuDNN computed, and the
        state after the last time step in the dtype of the weights.
    """
    own = weights[0].dtype
    products = products_dtype(weights[0])
    version: int = torch.backends.cudnn.version() or 0  # type: ignore[no-untyped-call]
    if products == torch.bfloat16 and version < BF16_SINCE:
        products = own
    inputs = inputs.to(products)
    weights = as_one_buffer([weight.to(products) for weight in weights])
    start = [part[None].to(products).contiguous() for part in state]
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    how = True, 1, 0.0, torch.is_grad_enabled(), False, False
    with warnings.catch_warnings(), torch.autocast(inputs.device.type, enabled=False):
        # Another version of cuDNN may expect another order; torch then copies the weights.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        if kind == "lstm":
            outputs, *after = torch._VF.lstm(inputs, start, weights, *how)
        else:
            outputs, *after = torch._VF.gru(inputs, start[0], weights, *how)
    return outputs, tuple(part[0].to(own) for part in after)


def as_one_buffer(weights: list[Tensor]) -> list[Tensor]:
    """Return copies of a layer's weights as parts of one buffer, differentiable.

    This is how cuDNN keeps them. From separate tensors, torch copies them into such a buffer in
    each call, and asks cuDNN for the place of every one.
    """
    buffer = torch.cat([weight.flatten() for weight in weights])
    parts = buffer.split([weight.numel() for weight in weights])  # type: ignore[no-untyped-call]
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]
