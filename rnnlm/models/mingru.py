"""A language model of minGRU layers: gated recurrences whose gates do not depend on the state.

A layer is a residual block: it adds the outputs of two branches, a recurrence and a feed-forward
network, to its input x⁽ᵗ⁾, after a linear map to the layer's size if the input has another size.
With N(·) layer normalisation, σ the logistic sigmoid and ⊙ the elementwise product, it computes

    u⁽ᵗ⁾ = Σₖ C_k ⊙ N(x⁽ᵗ⁻ᵏ⁾)                      convolution over the last tokens, k from 0
    z⁽ᵗ⁾ = σ(W_z u⁽ᵗ⁾ + b_z)                       gate
    h⁽ᵗ⁾ = (1 − z⁽ᵗ⁾) ⊙ h⁽ᵗ⁻¹⁾ + z⁽ᵗ⁾ ⊙ (W_h u⁽ᵗ⁾ + b_h)
    y⁽ᵗ⁾ = x⁽ᵗ⁾ + W_o (h⁽ᵗ⁾ ⊙ SiLU(W_g u⁽ᵗ⁾ + b_g))
    output⁽ᵗ⁾ = y⁽ᵗ⁾ + W_d GELU(W_u N(y⁽ᵗ⁾) + b_u)

The gate z⁽ᵗ⁾ depends on the last few inputs and not on h⁽ᵗ⁻¹⁾, so the recurrence is linear in h and
all time steps are computed together (`rnnlm.models.scan`). The price is that a layer's gates cannot
depend on the layer's own state, although they can depend on that of the layer below.

Source: minGRU, Feng et al. 2024; the convolution before it and the gate after it, Gu and Dao 2023
(Mamba); normalisation before a branch, Xiong et al. 2020.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.models.contract import State
from rnnlm.models.dropping import FeatureDropout
from rnnlm.models.layer import RecurrentLayer
from rnnlm.models.scan import scan
from rnnlm.models.stack import StackedLanguageModel

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from rnnlm.config import ModelConfig

LONGEST_MEMORY = 64.0
"""Tokens after which a new layer's slowest feature has decayed to 1/e of its value."""
_SHORTEST_MEMORY = 1.5


class MinGRULayer(RecurrentLayer):
    """A minGRU layer; the module docstring has the equations.

    The parameter `W` holds W_z, W_h and W_g, stacked along the first axis, and `b` holds their
    biases.
    """

    activations = 32

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Create the parameters; matrices are drawn uniformly within ±1/√columns.

        The output matrices of the branches are smaller by 1/√branches, with `branches` the number
        of branches in the whole model, so that the initial outputs of a deep model are not larger
        than those of a shallow one. Source: Radford et al. 2019, section 2.3.

        A feature whose gate is z remembers about 1/z tokens. The biases b_z are set so that these
        lengths are spread evenly on a logarithmic scale over the features, up to `LONGEST_MEMORY`.
        Source: chrono initialisation, Tallec and Ollivier 2018; the logarithmic scale, the step
        sizes of Gu et al. 2021 (S4).
        """
        super().__init__(input_size, size, config)
        branches = 2 * config.num_layers
        inner = round(config.mlp_ratio * size)
        self.W_x = _matrix(size, input_size) if input_size != size else None
        self.C: nn.Parameter | None = None
        if config.convolution > 1:
            self.C = _matrix(config.convolution, size, config.convolution)
        self.W = _matrix(3 * size, size)
        self.b = nn.Parameter(torch.zeros(3 * size))
        self.W_o = _matrix(size, size, branches * size)
        self.norm = nn.LayerNorm(size)
        self.feed_forward: nn.Module | None = _FeedForward(size, inner, branches) if inner else None
        share = config.dropout if config.layer_dropout is None else config.layer_dropout
        self.drop = FeatureDropout(share, config.locked_dropout)
        with torch.no_grad():
            lengths = torch.logspace(math.log10(_SHORTEST_MEMORY), math.log10(LONGEST_MEMORY), size)
            self.b[:size] = -torch.log(lengths - 1.0)

    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any size"]:
        """Return the inputs, mapped linearly to the layer's size if they have another size."""
        return inputs if self.W_x is None else functional.linear(inputs, self.W_x)

    def recur(
        self, projected: Float[Tensor, "time batch size"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps, and the state after the last one.

        The state is h and, if there is a convolution, its last inputs.
        """
        seen, window = self._convolve(self.norm(projected), state[1:])
        gates, candidates, ways_out = functional.linear(seen, self.W, self.b).chunk(3, dim=-1)
        # bfloat16 is too coarse for 1 − z, which is near 1.
        gates = gates.to(torch.promote_types(gates.dtype, torch.float32))
        hidden = scan(torch.sigmoid(-gates), torch.sigmoid(gates) * candidates, state[0])
        let_out = functional.linear(hidden * functional.silu(ways_out), self.W_o)
        outputs = projected + self.drop(let_out)
        if self.feed_forward is not None:
            outputs = outputs + self.drop(self.feed_forward(outputs))
        return outputs, (hidden[-1], *window)

    @property
    def loops_in_python(self) -> bool:
        """Return False: each product covers all time steps."""
        return False

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of h and, with a convolution, of the past inputs that the next step needs."""
        if self.C is None:
            return ((self.size,),)
        return ((self.size,), (len(self.C) - 1, self.size))

    def _convolve(
        self, inputs: Float[Tensor, "time batch size"], window: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        if self.C is None:
            return inputs, ()
        time, past = len(inputs), len(self.C) - 1
        padded = torch.cat((window[0].transpose(0, 1), inputs))
        seen = padded[past:] * self.C[0]
        for k in range(1, past + 1):
            seen = torch.addcmul(seen, padded[past - k : past - k + time], self.C[k])
        return seen, (padded[time:].transpose(0, 1),)


class MinGRULanguageModel(StackedLanguageModel):
    """A language model with a stack of `MinGRULayer` and a layer normalisation after the last one.

    There is no dropout on the residual sum between layers, because that would add noise to the
    inputs of all later layers. The setting `layer_dropout` applies to the output of each branch
    before it is added to the sum.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Build the layers and the last normalisation."""
        super().__init__(config, vocab_size, MinGRULayer)
        self.norm = nn.LayerNorm(config.layer_sizes[-1])
        self.drop_between = FeatureDropout(0.0)

    def features(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """Return the normalised outputs of the last layer, and the state."""
        features, state = super().features(inputs, state)
        return self.norm(features), state


class _FeedForward(nn.Module):
    """The feed-forward branch of a layer: W_d GELU(W_u N(y) + b_u)."""

    def __init__(self, size: int, inner: int, branches: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.W_u = _matrix(inner, size)
        self.b_u = nn.Parameter(torch.zeros(inner))
        self.W_d = _matrix(size, inner, branches * inner)

    def forward(self, inputs: Float[Tensor, "*any size"]) -> Float[Tensor, "*any size"]:
        inner = functional.gelu(functional.linear(self.norm(inputs), self.W_u, self.b_u))
        return functional.linear(inner, self.W_d)


def _matrix(rows: int, columns: int, fan_in: int | None = None) -> nn.Parameter:
    """Return a matrix drawn uniformly within ±1/√fan_in; `fan_in` defaults to `columns`."""
    bound = 1.0 / math.sqrt(fan_in or columns)
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))
