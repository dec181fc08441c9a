"""The time loop of the simple recurrent network (Elman network).

A time step computes the new state h′ = φ(p + W h) from the state h before it. Here W is the
recurrent matrix, p the product of the inputs with their matrix plus the bias, and φ the logistic
sigmoid or tanh.

Source: Elman 1990; Mikolov et al. 2010 use the logistic sigmoid for φ.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels.autocast import apply, weight_gradient

Nonlinearity = Literal["sigmoid", "tanh"]


def simple_layer(
    projected: Tensor, weight: Tensor, hidden: Tensor, nonlinearity: Nonlinearity
) -> tuple[Tensor, Tensor]:
    """Run one simple recurrent layer over all time steps.

    The result can be differentiated once, with respect to all tensors.

    Args:
        projected: p for every time step, shape (time, batch, hidden).
        weight: The recurrent matrix W, shape (hidden, hidden).
        hidden: The state h before the first time step, shape (batch, hidden).
        nonlinearity: The function φ.

    Returns:
        The outputs h, shape (time, batch, hidden), and h after the last time step.
    """
    given = projected.to(weight.dtype), weight, hidden, nonlinearity
    outputs: tuple[Tensor, Tensor] = apply(_Simple, weight, *given)
    return outputs


class _Simple(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        weight: Tensor,
        hidden: Tensor,
        nonlinearity: Nonlinearity,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        steps, batch, size = projected.shape
        hiddens = projected.new_empty(steps + 1, batch, size)
        hiddens[0] = hidden
        activate = torch.sigmoid_ if nonlinearity == "sigmoid" else torch.tanh_
        matrix = weight.to(products).t()
        for t in range(steps):
            product = torch.mm(hiddens[t].to(products), matrix)
            activate(torch.add(projected[t], product, out=hiddens[t + 1]))
        ctx.save_for_backward(weight, hiddens)
        ctx.nonlinearity, ctx.products = nonlinearity, products
        return hiddens[1:], hiddens[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor) -> tuple[Tensor | None, ...]:
        weight, hiddens = ctx.saved_tensors
        after = hiddens[1:]
        slopes = after * (1 - after) if ctx.nonlinearity == "sigmoid" else 1 - after * after
        grad_sums = torch.empty_like(slopes)
        matrix = weight.to(ctx.products)
        for t in reversed(range(len(slopes))):
            torch.mul(grad_outputs[t] + grad_hidden, slopes[t], out=grad_sums[t])
            grad_hidden = torch.mm(grad_sums[t].to(ctx.products), matrix).to(weight.dtype)
        grad_weight = None
        if ctx.needs_input_grad[1]:
            states = hiddens[:-1].to(ctx.products)
            grad_weight = weight_gradient(grad_sums.to(ctx.products), states, weight)
        return grad_sums, grad_weight, grad_hidden, None, None
