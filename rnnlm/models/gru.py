"""The gated recurrent unit (GRU).

With x⁽ᵗ⁾ the layer's input at time t, h⁽ᵗ⁾ its hidden state, which is also its output, σ the
logistic sigmoid and ⊙ the elementwise product, the layer computes

    r = σ(W_r x⁽ᵗ⁾ + U_r h⁽ᵗ⁻¹⁾ + b_r)       z = σ(W_z x⁽ᵗ⁾ + U_z h⁽ᵗ⁻¹⁾ + b_z)
    n = tanh(W_n x⁽ᵗ⁾ + b_n + r ⊙ (U_n h⁽ᵗ⁻¹⁾ + d))
    h⁽ᵗ⁾ = (1 − z) ⊙ n + z ⊙ h⁽ᵗ⁻¹⁾

Source: Cho et al. 2014, with the reset gate r applied after the product with U_n, as in cuDNN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.kernels.cudnn import cudnn_layer
from rnnlm.kernels.gru import gru_layer
from rnnlm.models.contract import State
from rnnlm.models.dropping import drop_weights
from rnnlm.models.layer import RecurrentLayer, StepWeights

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


class GRULayer(RecurrentLayer):
    """A GRU layer; the module docstring has the equations.

    The parameters `W`, `U` and `b` hold the weights of r, z and n in this order, stacked along the
    first axis.
    """

    activations = 14

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Create the parameters, with weights drawn uniformly within ±1/√size."""
        super().__init__(input_size, size, config)
        bound = 1.0 / math.sqrt(size)
        self.W = nn.Parameter(torch.empty(3 * size, input_size).uniform_(-bound, bound))
        self.U = nn.Parameter(torch.empty(3 * size, size).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))
        self.d = nn.Parameter(torch.empty(size).uniform_(-bound, bound))

    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any gates"]:
        """Return W x⁽ᵗ⁾ + b."""
        return functional.linear(inputs, self.W, self.b)

    def recur(
        self, projected: Float[Tensor, "time batch gates"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs h⁽¹⁾ … h⁽ᵀ⁾, and the state after the last step, h⁽ᵀ⁾."""
        outputs, hidden = gru_layer(projected, self._recurrent_weight(), self.d, state[0])
        return outputs, (hidden,)

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps and the state after the last one.

        On a GPU, one call of cuDNN does the work of both `project` and `recur`.
        """
        if not inputs.is_cuda:
            return super().forward(inputs, state)
        recurrent_bias = torch.cat([self.d.new_zeros(2 * self.size), self.d])
        weights = [self.W, self._recurrent_weight(), self.b, recurrent_bias]
        return cudnn_layer("gru", inputs, state, weights)

    @property
    def step_weights(self) -> StepWeights | None:
        """The weights of one time step, with four gates: r, z, W_n x + b_n, and U_n h + d.

        The candidate n takes two gates because r multiplies only the second of these sums.
        """
        W_n, U_n = self.W[-self.size :], self.U[-self.size :]  # noqa: N806
        return StepWeights(
            "gru",
            torch.cat([self.W, torch.zeros_like(W_n)]),
            torch.cat([self.U[: -self.size], torch.zeros_like(U_n), U_n]),
            torch.cat([self.b, self.d]),
        )

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of the hidden state."""
        return ((self.size,),)

    def _recurrent_weight(self) -> Tensor:
        return drop_weights(self.U, self.config.weight_dropout, self.training)
