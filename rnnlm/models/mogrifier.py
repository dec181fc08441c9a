"""The Mogrifier LSTM: before each time step, input and hidden state gate each other in turns.

With x^{−1} the layer's input at time t, h^0 the hidden state h⁽ᵗ⁻¹⁾, σ the logistic sigmoid and ⊙
the elementwise product, compute for i = 1 … r

    x^i = 2 σ(Q^i h^{i−1}) ⊙ x^{i−2}    for odd i
    h^i = 2 σ(R^i x^{i−1}) ⊙ h^{i−2}    for even i

An ordinary LSTM step (see `rnnlm.models.lstm`) then takes the last of these x and h as its input
and its previous hidden state. The number of rounds r is the setting `model.mogrifier_rounds`.

Source: Melis, Kočiský and Blunsom 2020, equations 1 and 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.models.contract import State
from rnnlm.models.layer import StepWeights
from rnnlm.models.lstm import LSTMLayer, LSTMState

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


class MogrifierLayer(LSTMLayer):
    """A Mogrifier LSTM layer.

    The product with the inputs cannot be computed for all time steps at once, because the inputs
    are first gated by the hidden state; so `project` does nothing.
    """

    activations = 38

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Create an LSTM's parameters, and the matrices Q and R, uniform within ±1/√columns."""
        super().__init__(input_size, size, config)
        shapes = [
            (size, input_size) if number % 2 else (input_size, size)
            for number in range(config.mogrifier_rounds)
        ]
        self.rounds = nn.ParameterList(
            torch.empty(shape).uniform_(-1 / math.sqrt(shape[1]), 1 / math.sqrt(shape[1]))
            for shape in shapes
        )

    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any input"]:
        """Return the inputs unchanged."""
        return inputs

    def recur(
        self, projected: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], LSTMState]:
        """Return the outputs h⁽¹⁾ … h⁽ᵀ⁾, and the state after the last step, h⁽ᵀ⁾ and c⁽ᵀ⁾."""
        hidden, cell = LSTMState(*state)
        recurrent = self._recurrent_weight()
        outputs = []
        for inputs in projected.unbind(0):
            mogrified, modulated = inputs, hidden
            for number, matrix in enumerate(self.rounds):
                if number % 2:
                    gate = functional.linear(mogrified, matrix)
                    modulated = 2.0 * torch.sigmoid(gate) * modulated
                else:
                    gate = functional.linear(modulated, matrix)
                    mogrified = 2.0 * torch.sigmoid(gate) * mogrified
            gates = functional.linear(mogrified, self.W, self.b)
            i, f, g, o = (gates + functional.linear(modulated, recurrent)).chunk(4, dim=-1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs), LSTMState(hidden, cell)

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps and the state after the last one.

        All devices run the same code, because cuDNN does not support this layer.
        """
        return self.recur(inputs, state)

    @property
    def loops_in_python(self) -> bool:
        """Return True: on every device, the only time loop is the one in `recur`."""
        return True

    @property
    def step_weights(self) -> StepWeights | None:
        """None, because a time step consists of several products that depend on each other."""
        return None
