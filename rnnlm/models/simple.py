"""The simple recurrent network (Elman network), in the notation in which it is usually taught.

The word at time t is a one-hot vector x⁽ᵗ⁾ over the vocabulary. With σ the logistic sigmoid (or
tanh, as `model.nonlinearity` sets),

    e⁽ᵗ⁾ = E x⁽ᵗ⁾                                  embedding
    h⁽ᵗ⁾ = σ(W_h h⁽ᵗ⁻¹⁾ + W_e e⁽ᵗ⁾ + b₁)           hidden state; h⁽⁰⁾ is zero, or learned
    ŷ⁽ᵗ⁾ = softmax(U h⁽ᵗ⁾ + b₂)                    distribution of the next word

In the code, E is the transpose of `embedding.weight`, because looking up a row is the same as the
product with a one-hot vector. U and b₂ are `U` and `b_2` of `StackedLanguageModel`; W_h, W_e and b₁
are parameters of the layer. The loss at time t is −log of the probability that ŷ⁽ᵗ⁾ assigns to the
true next word.

Source: Elman 1990; as a language model, Mikolov et al. 2010.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.kernels.simple import simple_layer
from rnnlm.models.contract import State
from rnnlm.models.dropping import drop_weights
from rnnlm.models.layer import RecurrentLayer, StepWeights

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


class SimpleLayer(RecurrentLayer):
    """A simple recurrent layer: h⁽ᵗ⁾ = σ(W_h h⁽ᵗ⁻¹⁾ + W_e e⁽ᵗ⁾ + b₁)."""

    activations = 6

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Create the parameters: matrices uniform within ±1/√size, and biases of 0."""
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
        """Return the outputs h⁽¹⁾ … h⁽ᵀ⁾, and the state after the last step, h⁽ᵀ⁾."""
        weight = drop_weights(self.W_h, self.config.weight_dropout, self.training)
        outputs, hidden = simple_layer(projected, weight, state[0], self.config.nonlinearity)
        return outputs, (hidden,)

    @property
    def step_weights(self) -> StepWeights | None:
        """The weights of one time step: W_e, W_h and b₁."""
        return StepWeights(self.config.nonlinearity, self.W_e, self.W_h, self.b_1)

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of the hidden state."""
        return ((self.size,),)
