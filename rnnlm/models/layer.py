"""The interface of a recurrent layer: a product independent of time, then a recurrence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from rnnlm.models.contract import State

if TYPE_CHECKING:
    from jaxtyping import Float

    from rnnlm.config import ModelConfig


@dataclass(frozen=True)
class StepWeights:
    """The weights of one time step of a layer, for an engine that steps many texts together.

    The step's sums are `inputs @ x + own @ h + bias`, with the gates stacked.

    Attributes:
        kind: How the sums are used: as an LSTM's gates i, f, g, o; as a GRU's r, z, the input part
            of n and the state part of n; or in a simple layer's sigmoid or tanh.
        inputs: Weights of the inputs, (gates · size, input).
        own: Weights of the layer's own state, (gates · size, size).
        bias: Biases, (gates · size,).
    """

    kind: Literal["lstm", "gru", "sigmoid", "tanh"]
    inputs: Tensor
    own: Tensor
    bias: Tensor


class RecurrentLayer(nn.Module, ABC):
    """One layer of a stack. Time is the first dimension, so each step is contiguous in memory.

    The work is split in two, because the first part does not depend on the past: `project` is one
    large product for all time steps. Applied to a vocabulary's embeddings, it gives a table in
    which tokens are looked up.
    """

    activations: ClassVar[int]
    """Numbers that training keeps per step and feature, including the backward pass; measured."""

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Store the sizes and the config."""
        super().__init__()
        self.input_size, self.size, self.config = input_size, size, config

    @abstractmethod
    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any projected"]:
        """Return what the recurrence needs of each input."""

    @abstractmethod
    def recur(
        self, projected: Float[Tensor, "time batch projected"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps and the state after the last."""

    @property
    def loops_in_python(self) -> bool:
        """Whether the time loop runs in Python, one small product after another."""
        return True

    @property
    def step_weights(self) -> StepWeights | None:
        """The weights of a step, if the layer is of a kind in `StepWeights`; else None."""
        return None

    @property
    @abstractmethod
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parts of the state, without the batch."""

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return outputs and state of inputs that were not looked up in a table."""
        return self.recur(self.project(inputs), state)
