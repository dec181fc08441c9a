"""The long short-term memory language model, stacked.

With x⁽ᵗ⁾ the embedding of the token at time t, σ the logistic sigmoid and ⊙ the elementwise
product, a layer computes

    i = σ(W_i x⁽ᵗ⁾ + U_i h⁽ᵗ⁻¹⁾ + b_i)      f = σ(W_f x⁽ᵗ⁾ + U_f h⁽ᵗ⁻¹⁾ + b_f)
    g = tanh(W_g x⁽ᵗ⁾ + U_g h⁽ᵗ⁻¹⁾ + b_g)   o = σ(W_o x⁽ᵗ⁾ + U_o h⁽ᵗ⁻¹⁾ + b_o)
    c⁽ᵗ⁾ = f ⊙ c⁽ᵗ⁻¹⁾ + i ⊙ g               h⁽ᵗ⁾ = o ⊙ tanh(c⁽ᵗ⁾)

Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; the forget bias
starts at 1 as in Jozefowicz et al. 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rnnlm.models.contract import LanguageModel, State

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from rnnlm.config import ModelConfig


class LSTMLanguageModel(LanguageModel):
    """Embedding, stacked LSTM layers, and a linear map to logits; dropout between them."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Build the layers with fresh weights from torch's global generator."""
        super().__init__(config, vocab_size)
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
        self.lstm = nn.LSTM(
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden_size, vocab_size)
        self._start_forget_gates_open()

    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return logits and state; see `LanguageModel.forward`."""
        hidden, cell = state
        features = self.dropout(self.embedding(inputs))
        features, (hidden, cell) = self.lstm(features, (hidden, cell))
        logits: Tensor = self.output(self.dropout(features))
        return logits, (hidden, cell)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros for h and c, each of shape (layers, batch, hidden)."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_size)
        weight = self.output.weight
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def _start_forget_gates_open(self) -> None:
        size = self.config.hidden_size
        for layer in range(self.config.num_layers):
            with torch.no_grad():
                bias: Tensor = getattr(self.lstm, f"bias_ih_l{layer}")
                bias[size : 2 * size] = 1.0
