"""The Mogrifier LSTM: input and hidden state gate each other before every step.

With x¹ the layer's input at time t and h⁰ = h⁽ᵗ⁻¹⁾, for rounds i = 1 … r

    x^i = 2 σ(Q^i h^{i−1}) ⊙ x^{i−2}    for odd i
    h^i = 2 σ(R^i x^{i−1}) ⊙ h^{i−2}    for even i

and the last x and h enter an LSTM's step (see `rnnlm.models.lstm`).

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
    """An LSTM whose gates cannot be computed in advance, because the state gates the input."""

    activations = 38

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Draw the gating matrices uniformly within ±1/√columns."""
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
        """Return the inputs as they are."""
        return inputs

    def recur(
        self, projected: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], LSTMState]:
        """Return h⁽¹⁾ … h⁽ᵀ⁾, and h and c after the last step."""
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
        """Return outputs and state; no library has this step, so all devices run the same code."""
        return self.recur(inputs, state)

    @property
    def loops_in_python(self) -> bool:
        """True: the only time loop is the one in `recur`."""
        return True

    @property
    def step_weights(self) -> StepWeights | None:
        """None: a step is several products, one after the other."""
        return None
