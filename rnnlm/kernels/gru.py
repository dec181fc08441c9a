"""The time loop of the gated recurrent unit (GRU), in the variant that cuDNN and `nn.GRU` compute.

With p = W x + b the product with the inputs, split into p_r, p_z and p_n, and h the hidden state
before a time step, the state h′ after it is given by

    r = σ(p_r + U_r h)      z = σ(p_z + U_z h)
    n = tanh(p_n + r ⊙ q)   q = U_n h + b      h′ = (1 - z) ⊙ n + z ⊙ h

Source: Cho et al. 2014, version 1 of the paper, in which r is applied after the product with U_n.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels.autocast import apply, weight_gradient


def gru_layer(
    projected: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one GRU layer over all time steps; differentiable once, with respect to all arguments.

    Args:
        projected: W x + b for every time step, shape (time, batch, 3·hidden). The bias b must
            include the recurrent biases of r and z. The gates are in the order r, z, n, as in
            `nn.GRU`.
        weight: The recurrent matrix U, shape (3·hidden, hidden).
        bias: The recurrent bias of n, the b in q, shape (hidden,).
        hidden: The state h before the first time step, shape (batch, hidden).

    Returns:
        The outputs h, shape (time, batch, hidden), and h after the last time step.
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
        gates = projected.new_empty(steps, batch, 4 * size)  # for r, z, n and q
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
        grad_sums = torch.empty_like(gates)  # gradients for r, z, q, n, in this order
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
