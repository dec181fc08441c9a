"""What a recurrent layer is: a product that knows no time, and a recurrence over it."""

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
    """What one time step of a layer multiplies by, for an engine that steps many texts.

    The step's sums are `inputs @ x + own @ h + bias`, its gates below each other.

    Attributes:
        kind: What becomes of the sums: an LSTM's gates i, f, g, o; a GRU's r, z, n without and n
            with the state; or a simple layer's sigmoid or tanh.
        inputs: (gates · size, input).
        own: (gates · size, size).
        bias: (gates · size,).
    """

    kind: Literal["lstm", "gru", "sigmoid", "tanh"]
    inputs: Tensor
    own: Tensor
    bias: Tensor


class RecurrentLayer(nn.Module, ABC):
    """One layer of a stack, time first: each step is one piece of memory.

    The work is cut in two, because the first part needs no past: `project` is one large product
    for all time steps, or, of a vocabulary's embeddings, a table to look tokens up in.
    """

    activations: ClassVar[int]
    """Numbers that training holds per step and feature, backward pass included; as measured."""

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Keep the sizes."""
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
        """Whether its time loop is Python's: one small product after the other."""
        return True

    @property
    def step_weights(self) -> StepWeights | None:
        """What a step multiplies by, if it is of one of the kinds that `StepWeights` names."""
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
