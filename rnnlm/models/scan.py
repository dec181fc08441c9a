"""The elementwise linear recurrence, which can be computed for all time steps at once.

With ⊙ the elementwise product, the recurrence is

    h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾

Two steps combine into one of the same form: the step (a, b) followed by the step (a′, b′) equals
the step (a′ ⊙ a, a′ ⊙ b + b′). This combination is associative, so the states of all time steps are
its prefix products, and n rounds of a parallel scan compute 2ⁿ of them. No logarithm or quotient is
needed, so with |a| ≤ 1 no intermediate factor overflows, however long the sequence is.

The gradients follow the same recurrence backwards in time. With J the loss and g⁽ᵗ⁾ its gradient
with respect to h⁽ᵗ⁾, including what flows back through later time steps,

    g⁽ᵗ⁾ = ∂J/∂h⁽ᵗ⁾ + a⁽ᵗ⁺¹⁾ ⊙ g⁽ᵗ⁺¹⁾       ∂J/∂b⁽ᵗ⁾ = g⁽ᵗ⁾       ∂J/∂a⁽ᵗ⁾ = g⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾

Sources: the associative combination, Blelloch 1990, section 1.4; the rounds, Hillis and Steele
1986; use in neural networks, Martin and Cundy 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from jaxtyping import Float


def scan(
    decay: Float[Tensor, "time batch size"],
    value: Float[Tensor, "time batch size"],
    initial: Float[Tensor, "batch size"],
) -> Float[Tensor, "time batch size"]:
    """Return the states h⁽¹⁾ … h⁽ᵀ⁾ of the recurrence h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾.

    The result can be differentiated once, with respect to all arguments.

    Args:
        decay: The factors a⁽ᵗ⁾, for at least one time step.
        value: The summands b⁽ᵗ⁾.
        initial: The state h⁽⁰⁾. The result has its dtype, but is computed in float32 or a higher
            precision.
    """
    kind = torch.promote_types(torch.promote_types(decay.dtype, value.dtype), torch.float32)
    hidden: Tensor = _Scan.apply(decay.to(kind), value.to(kind), initial.to(kind))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return hidden.to(initial.dtype)


def by_steps(
    decay: Float[Tensor, "time batch size"],
    value: Float[Tensor, "time batch size"],
    initial: Float[Tensor, "batch size"],
    backwards: bool = False,
) -> Float[Tensor, "time batch size"]:
    """Return the states of the recurrence, computed step by step; the fastest way on a CPU.

    Args:
        decay: The factors a⁽ᵗ⁾.
        value: The summands b⁽ᵗ⁾.
        initial: The state before the first step or, if `backwards`, after the last one.
        backwards: Run from the last step to the first: h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁺¹⁾ + b⁽ᵗ⁾.
    """
    states = torch.empty_like(value)
    steps = list(zip(decay.unbind(0), value.unbind(0), states.unbind(0), strict=True))
    state = initial
    for a, b, out in reversed(steps) if backwards else steps:
        state = torch.addcmul(b, a, state, out=out)
    return states


def by_doubling(
    decay: Float[Tensor, "time batch size"],
    value: Float[Tensor, "time batch size"],
    initial: Float[Tensor, "batch size"],
    backwards: bool = False,
) -> Float[Tensor, "time batch size"]:
    """Return the same states as `by_steps`, in about log₂(time) rounds, which is faster on a GPU.

    Before each round, the entry for time t combines the last `span` steps up to t; the round
    combines it with the entry `span` steps earlier, so that `span` doubles.
    """
    if backwards:
        return by_doubling(decay.flip(0), value.flip(0), initial).flip(0)
    first = torch.addcmul(value[0], decay[0], initial)
    states, span = torch.cat((first[None], value[1:])), 1
    while span < len(states):
        summed = torch.addcmul(states[span:], decay[span:], states[:-span])
        states = torch.cat((states[:span], summed))
        if 2 * span < len(states):
            decay = torch.cat((decay[:span], decay[span:] * decay[:-span]))
        span *= 2
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decay: Tensor, value: Tensor, initial: Tensor) -> Tensor:
        states = _states(decay, value, initial, backwards=False)
        ctx.save_for_backward(decay, initial, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        decay, initial, states = ctx.saved_tensors
        following = torch.cat((decay[1:], torch.zeros_like(decay[:1])))
        whole = _states(following, gradient, torch.zeros_like(initial), backwards=True)
        for_decay = for_initial = None
        if ctx.needs_input_grad[0]:
            for_decay = torch.cat((whole[:1] * initial, whole[1:] * states[:-1]))
        if ctx.needs_input_grad[2]:
            for_initial = decay[0] * whole[0]
        return for_decay, whole, for_initial


def _states(decay: Tensor, value: Tensor, initial: Tensor, backwards: bool) -> Tensor:
    form = by_doubling if value.is_cuda else by_steps
    return form(decay, value, initial, backwards)
