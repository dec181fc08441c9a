"""The simple recurrent network, as it is usually taught.

Words are one-hot vectors x⁽ᵗ⁾ of the vocabulary's length. With σ the logistic sigmoid (or tanh),

    e⁽ᵗ⁾ = E x⁽ᵗ⁾                                  embedding
    h⁽ᵗ⁾ = σ(W_h h⁽ᵗ⁻¹⁾ + W_e e⁽ᵗ⁾ + b₁)           hidden state; h⁽⁰⁾ is zero, or learned
    ŷ⁽ᵗ⁾ = softmax(U h⁽ᵗ⁾ + b₂)                    distribution of the next word

E is `embedding.weight` transposed (looking a row up is the product with a one-hot vector), U and b₂
are the stack's `U` and `b_2`, and W_h, W_e, b₁ are the layer's. The loss at time t is
J⁽ᵗ⁾ = −log ŷ⁽ᵗ⁾ of the true next word.

Source: Elman 1990; as a language model, Mikolov et al. 2010.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.kernels import simple_layer
from rnnlm.models.contract import State
from rnnlm.models.dropping import drop_weights
from rnnlm.models.layer import RecurrentLayer, StepWeights

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


class SimpleLayer(RecurrentLayer):
    """h⁽ᵗ⁾ = σ(W_h h⁽ᵗ⁻¹⁾ + W_e e⁽ᵗ⁾ + b₁)."""

    activations = 6

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Draw weights uniformly within ±1/√size."""
        super().__init__(input_size, size, config)
        bound = 1.0 / math.sqrt(size)
        self.W_h = nn.Parameter(torch.empty(size, size).uniform_(-bound, bound))
        self.W_e = nn.Parameter(torch.empty(size, input_size).uniform_(-bound, bound))
        self.b_1 = nn.Parameter(torch.zeros(size))

    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any size"]:
        """Return W_e e⁽ᵗ⁾ + b₁."""
        return functional.linear(inputs, self.W_e, self.b_1)

    def recur(
        self, projected: Float[Tensor, "time batch size"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return h⁽¹⁾ … h⁽ᵀ⁾ and h⁽ᵀ⁾."""
        weight = drop_weights(self.W_h, self.config.weight_dropout, self.training)
        outputs, hidden = simple_layer(projected, weight, state[0], self.config.nonlinearity)
        return outputs, (hidden,)

    @property
    def step_weights(self) -> StepWeights | None:
        """W_e, W_h and b₁."""
        return StepWeights(self.config.nonlinearity, self.W_e, self.W_h, self.b_1)

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The hidden state."""
        return ((self.size,),)
