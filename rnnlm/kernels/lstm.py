"""The time loop of the long short-term memory (LSTM); `rnnlm/models/lstm.py` has the equations.

It runs in native code (`recurrence.c`) where possible, otherwise in torch.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels import recurrence
from rnnlm.kernels.autocast import apply, weight_gradient
from rnnlm.kernels.native import padded


def lstm_layer(
    projected: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one LSTM layer over all time steps; differentiable once, with respect to all arguments.

    Args:
        projected: W x + b for every time step, shape (time, batch, 4·hidden), with all biases
            included. The gates are in the order i, f, g, o, as in `nn.LSTM`.
        weight: The recurrent matrix U, shape (4·hidden, hidden).
        hidden: The hidden state h before the first time step, shape (batch, hidden).
        cell: The cell c before the first time step, shape (batch, hidden).

    Returns:
        The outputs h, shape (time, batch, hidden), and h and c after the last time step.
    """
    given = projected.to(weight.dtype), weight, hidden, cell
    outputs: tuple[Tensor, Tensor, Tensor] = apply(_LSTM, weight, *given)
    return outputs


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        weight: Tensor,
        hidden: Tensor,
        cell: Tensor,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = projected.shape
        size = weight.shape[1]
        ctx.native = recurrence.usable(products, projected, weight, hidden, cell)
        ctx.products = products
        gates = projected.new_empty(steps, batch, padded(4 * size) if ctx.native else 4 * size)
        hiddens = projected.new_empty(steps + 1, batch, size)
        cells = torch.empty_like(hiddens)
        hiddens[0], cells[0] = hidden, cell
        factors = hiddens
        if ctx.native:
            halves = None
            if products == torch.bfloat16:
                factors = halves = torch.empty_like(hiddens, dtype=products)
                halves[0] = hidden
            packed = recurrence.pack(weight.t(), products)
            shape = steps, batch, size
            projected = projected.contiguous()
            recurrence.run("lstm_forward", shape, projected, packed, gates, cells, hiddens, halves)
        else:
            _forward(projected, weight.to(products).t(), gates, cells, hiddens)
            factors = hiddens.to(products)
        ctx.save_for_backward(weight, gates, cells, factors)
        return hiddens[1:], hiddens[-1].clone(), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor, grad_cell: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight, gates, cells, hiddens = ctx.saved_tensors
        steps, batch, size = grad_outputs.shape
        grad_gates = factors = gates.new_empty(steps, batch, 4 * size)
        grad_cell = grad_cell.clone(memory_format=torch.contiguous_format)
        if ctx.native:
            halves = None
            if ctx.products == torch.bfloat16:
                factors = halves = torch.empty_like(grad_gates, dtype=ctx.products)
            grad_state = gates.new_empty(batch, padded(size))
            grad_state[:, :size] = grad_hidden
            packed = recurrence.pack(weight, ctx.products)
            shape = steps, batch, size
            grad_outputs = grad_outputs.contiguous()
            given = grad_outputs, packed, gates, cells
            made = grad_state, grad_cell, grad_gates, halves
            recurrence.run("lstm_backward", shape, *given, *made)
            grad_hidden = grad_state[:, :size]
        else:
            grad_hidden = grad_hidden.clone()
            given = grad_outputs, weight.to(ctx.products), gates, cells
            _backward(*given, grad_hidden, grad_cell, grad_gates)
            factors = grad_gates.to(ctx.products)
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = weight_gradient(factors, hiddens[:-1], weight)
        return grad_gates, grad_weight, grad_hidden, grad_cell, None


def _forward(
    projected: Tensor, matrix: Tensor, gates: Tensor, cells: Tensor, hiddens: Tensor
) -> None:
    """Run the time loop in torch; `gates`, `cells` and `hiddens` are filled in place.

    Args:
        projected: As in `lstm_layer`.
        matrix: The transposed recurrent matrix, shape (hidden, 4·hidden), in the dtype of products.
        gates: Values of the gates i, f, g, o at every time step, shape (time, batch, 4·hidden).
        cells: Cells, shape (time + 1, batch, hidden); the first entry is given.
        hiddens: Hidden states, shape (time + 1, batch, hidden); the first entry is given.
    """
    size = len(matrix)
    for t in range(len(projected)):
        product = torch.mm(hiddens[t].to(matrix.dtype), matrix)
        torch.add(projected[t], product, out=gates[t])
        gates[t, :, : 2 * size].sigmoid_()
        gates[t, :, 2 * size : 3 * size].tanh_()
        gates[t, :, 3 * size :].sigmoid_()
        i, f, g, o = gates[t].chunk(4, dim=1)
        torch.addcmul(f * cells[t], i, g, out=cells[t + 1])
        torch.mul(o, cells[t + 1].tanh(), out=hiddens[t + 1])


def _backward(
    grad_outputs: Tensor,
    matrix: Tensor,
    gates: Tensor,
    cells: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    grad_gates: Tensor,
) -> None:
    """Run the time loop of the backward pass in torch.

    Args:
        grad_outputs: Gradients of the outputs, shape (time, batch, hidden).
        matrix: The recurrent matrix, shape (4·hidden, hidden), in the dtype of products.
        gates: Values of the gates from the forward pass.
        cells: Cells from the forward pass.
        grad_hidden: Gradient of the hidden state after the last time step; replaced in place by
            that of the state before the first one.
        grad_cell: Gradient of the cell; replaced in the same way.
        grad_gates: Filled with the gradients of the gates' sums, shape (time, batch, 4·hidden).
    """
    for t in reversed(range(len(gates))):
        i, f, g, o = gates[t].chunk(4, dim=1)
        tangent = cells[t + 1].tanh()
        grad = grad_outputs[t] + grad_hidden
        grad_cell += grad * o * (1 - tangent * tangent)
        into = grad_gates[t].chunk(4, dim=1)
        torch.mul(grad_cell * g, i * (1 - i), out=into[0])
        torch.mul(grad_cell * cells[t], f * (1 - f), out=into[1])
        torch.mul(grad_cell * i, 1 - g * g, out=into[2])
        torch.mul(grad * tangent, o * (1 - o), out=into[3])
        grad_cell *= f
        grad_hidden.copy_(torch.mm(grad_gates[t].to(matrix.dtype), matrix))
