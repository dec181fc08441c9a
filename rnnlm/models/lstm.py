"""The long short-term memory (LSTM).

With x⁽ᵗ⁾ the layer's input at time t, h⁽ᵗ⁾ its hidden state, which is also its output, c⁽ᵗ⁾ its
cell, σ the logistic sigmoid and ⊙ the elementwise product, the layer computes

    i = σ(W_i x⁽ᵗ⁾ + U_i h⁽ᵗ⁻¹⁾ + b_i)      f = σ(W_f x⁽ᵗ⁾ + U_f h⁽ᵗ⁻¹⁾ + b_f)
    g = tanh(W_g x⁽ᵗ⁾ + U_g h⁽ᵗ⁻¹⁾ + b_g)   o = σ(W_o x⁽ᵗ⁾ + U_o h⁽ᵗ⁻¹⁾ + b_o)
    c⁽ᵗ⁾ = f ⊙ c⁽ᵗ⁻¹⁾ + i ⊙ g               h⁽ᵗ⁾ = o ⊙ tanh(c⁽ᵗ⁾)

Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; the forget bias
starts at 1 as in Jozefowicz et al. 2015.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.kernels.cudnn import cudnn_layer
from rnnlm.kernels.lstm import lstm_layer
from rnnlm.kernels.native import native_available
from rnnlm.models.contract import State
from rnnlm.models.dropping import drop_weights
from rnnlm.models.layer import RecurrentLayer, StepWeights

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


class LSTMState(NamedTuple):
    """The state of an LSTM layer after a time step.

    Attributes:
        hidden: The hidden state h, shape (batch, size), which is also the layer's output.
        cell: The cell c, shape (batch, size).
    """

    hidden: Tensor
    cell: Tensor


class LSTMLayer(RecurrentLayer):
    """An LSTM layer; the module docstring has the equations.

    The parameters `W`, `U` and `b` hold the weights of the gates i, f, g and o in this order,
    stacked along the first axis.
    """

    activations = 14

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Create the parameters: uniform within ±1/√size, but 1 for the biases of forget gates."""
        super().__init__(input_size, size, config)
        bound = 1.0 / math.sqrt(size)
        self.W = nn.Parameter(torch.empty(4 * size, input_size).uniform_(-bound, bound))
        self.U = nn.Parameter(torch.empty(4 * size, size).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(4 * size).uniform_(-bound, bound))
        with torch.no_grad():
            self.b[size : 2 * size] = 1.0

    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any gates"]:
        """Return W x⁽ᵗ⁾ + b."""
        return functional.linear(inputs, self.W, self.b)

    def recur(
        self, projected: Float[Tensor, "time batch gates"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], LSTMState]:
        """Return the outputs h⁽¹⁾ … h⁽ᵀ⁾, and the state after the last step, h⁽ᵀ⁾ and c⁽ᵀ⁾."""
        before = LSTMState(*state)
        outputs, hidden, cell = lstm_layer(
            projected, self._recurrent_weight(), before.hidden, before.cell
        )
        return outputs, LSTMState(hidden, cell)

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps and the state after the last one.

        On a GPU, one call of cuDNN does the work of both `project` and `recur`.
        """
        if not inputs.is_cuda:
            return super().forward(inputs, state)
        weights = [self.W, self._recurrent_weight(), self.b, torch.zeros_like(self.b)]
        return cudnn_layer("lstm", inputs, state, weights)

    @property
    def loops_in_python(self) -> bool:
        """Whether the time loop runs in Python, which it does only without the native code."""
        return not native_available()

    @property
    def step_weights(self) -> StepWeights | None:
        """The weights of one time step: W, U and b."""
        return StepWeights("lstm", self.W, self.U, self.b)

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the hidden state and of the cell."""
        return ((self.size,), (self.size,))

    def _recurrent_weight(self) -> Tensor:
        return drop_weights(self.U, self.config.weight_dropout, self.training)
