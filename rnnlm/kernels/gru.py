"""The time loop of the gated recurrent unit, in the form that cuDNN and `nn.GRU` compute.

With p the input product, biases added,

    r = σ(p_r + U_r h)      z = σ(p_z + U_z h)
    n = tanh(p_n + r ⊙ q)   q = U_n h + b      h′ = (1 - z) ⊙ n + z ⊙ h

Source: Cho et al. 2014, version 1 of the paper, where r comes after the product.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels.autocast import apply, weight_gradient


def gru_layer(
    projected: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one GRU layer over a window; differentiable once in all arguments.

    Args:
        projected: (time, batch, 3·hidden), W x + b of every step, with the recurrent biases of r
            and z added too; the gates in the order r, z, n of `nn.GRU`.
        weight: (3·hidden, hidden), the recurrent matrix U.
        bias: (hidden,), the recurrent bias of n.
        hidden: (batch, hidden), h before the first step.

    Returns:
        The outputs (time, batch, hidden), and h after the last step.
    """
    given = projected.to(weight.dtype), weight, bias, hidden
    outputs: tuple[Tensor, Tensor] = apply(_GRU, weight, *given)
    return outputs


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        weight: Tensor,
        bias: Tensor,
        hidden: Tensor,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        steps, batch, _ = projected.shape
        size = weight.shape[1]
        gates = projected.new_empty(steps, batch, 4 * size)  # r, z, n and q
        hiddens = projected.new_empty(steps + 1, batch, size)
        hiddens[0] = hidden
        matrix = weight.to(products).t()
        for t in range(steps):
            product = torch.mm(hiddens[t].to(products), matrix)
            r, z, n, q = gates[t].chunk(4, dim=1)
            both = gates[t, :, : 2 * size]
            torch.add(projected[t, :, : 2 * size], product[:, : 2 * size], out=both).sigmoid_()
            torch.add(product[:, 2 * size :], bias, out=q)
            torch.addcmul(projected[t, :, 2 * size :], r, q, out=n).tanh_()
            torch.lerp(n, hiddens[t], z, out=hiddens[t + 1])
        ctx.save_for_backward(weight, gates, hiddens)
        ctx.products = products
        return hiddens[1:], hiddens[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor) -> tuple[Tensor | None, ...]:
        weight, gates, hiddens = ctx.saved_tensors
        size = weight.shape[1]
        grad_sums = torch.empty_like(gates)  # of r, z and q, then of n
        matrix = weight.to(ctx.products)
        for t in reversed(range(len(gates))):
            r, z, n, q = gates[t].chunk(4, dim=1)
            grad_r, grad_z, grad_q, grad_n = grad_sums[t].chunk(4, dim=1)
            grad = grad_outputs[t] + grad_hidden
            torch.mul(grad * (1 - z), 1 - n * n, out=grad_n)
            torch.mul(grad * (hiddens[t] - n), z * (1 - z), out=grad_z)
            torch.mul(grad_n, r, out=grad_q)
            torch.mul(grad_n * q, r * (1 - r), out=grad_r)
            product = torch.mm(grad_sums[t, :, : 3 * size].to(ctx.products), matrix)
            grad_hidden = torch.addcmul(product, grad, z)
        recurrent = grad_sums[..., : 3 * size]
        grad_projected = recurrent.clone()
        grad_projected[..., 2 * size :] = grad_sums[..., 3 * size :]
        grad_weight, grad_bias = None, None
        if ctx.needs_input_grad[1]:
            states = hiddens[:-1].to(ctx.products)
            grad_weight = weight_gradient(recurrent.to(ctx.products), states, weight)
        if ctx.needs_input_grad[2]:
            grad_bias = recurrent[..., 2 * size :].sum((0, 1))
        return grad_projected, grad_weight, grad_bias, grad_hidden, None
