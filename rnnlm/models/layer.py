"""The interface of a recurrent layer: a product for all time steps at once, then a recurrence."""

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
    """The weights of one time step of a layer, for fast sampling of many texts together.

    A step computes the sums `inputs @ x + own @ h + bias`, with x the layer's input and h its
    state. The rows of several gates are stacked. `rnnlm.engine.packing` packs these weights for
    native code.

    Attributes:
        kind: What the sums are. `lstm`: the gates i, f, g, o. `gru`: the gates r and z, the part of
            n that depends on the input, and the part of n that depends on the state. `sigmoid` and
            `tanh`: the argument of this function in a simple layer.
        inputs: Weights of the inputs, (gates · size, input).
        own: Weights of the layer's own state, (gates · size, size).
        bias: Biases, (gates · size,).
    """

    kind: Literal["lstm", "gru", "sigmoid", "tanh"]
    inputs: Tensor
    own: Tensor
    bias: Tensor


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer of a language model.

    The work is split in two methods. `project` is one large product for all time steps, because it
    does not depend on the past; applied to the embeddings of a whole vocabulary, it gives a table
    in which the products of tokens are looked up. `recur` then runs the recurrence over time.

    Time is the first dimension of the tensors, so that each time step is contiguous in memory.
    """

    activations: ClassVar[int]
    """Numbers that training holds in memory per time step, lane and output feature.

    Measured, and including the backward pass. A lane is a row of the batch.
    """

    def __init__(self, input_size: int, size: int, config: ModelConfig) -> None:
        """Store the arguments.

        Args:
            input_size: Number of features of an input.
            size: Number of features of an output.
            config: Configuration of the model.
        """
        super().__init__()
        self.input_size, self.size, self.config = input_size, size, config

    @abstractmethod
    def project(self, inputs: Float[Tensor, "*any input"]) -> Float[Tensor, "*any projected"]:
        """Return the part of the computation that depends on one input only, for `recur`."""

    @abstractmethod
    def recur(
        self, projected: Float[Tensor, "time batch projected"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps, and the state after the last one.

        Args:
            projected: Result of `project` for the inputs of all time steps.
            state: State before the first time step.
        """

    @property
    def loops_in_python(self) -> bool:
        """Whether `recur` loops over the time steps in Python, with a small product in each."""
        return True

    @property
    def step_weights(self) -> StepWeights | None:
        """The weights of one time step; None if the layer is of no kind in `StepWeights`."""
        return None

    @property
    @abstractmethod
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors of the state, without the batch dimension."""

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch size"], State]:
        """Return the outputs of all time steps and the state after the last one, for raw inputs."""
        return self.recur(self.project(inputs), state)
