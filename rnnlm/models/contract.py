"""The interface of all language models, and the one of those trained by gradient descent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from rnnlm.config import ModelConfig

State = tuple[Tensor, ...]
"""What a model remembers between calls, such as hidden states.

The first dimension of each tensor is the batch. A row of the batch, with its own sequence of tokens
and its own state, is called a lane.
"""


class LanguageModel(nn.Module, ABC):
    """A language model with a recurrent state, which maps `(inputs, state)` to `(logits, state)`.

    One call on 64 tokens gives the same logits as four calls on 16 tokens each, if every call gets
    the state that the call before returned.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Store the configuration and the number of tokens in the vocabulary."""
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size

    @abstractmethod
    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return the logits of the next token after each input, and the state after the last input.

        Args:
            inputs: Token ids.
            state: State before the first input.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state at the beginning of a document, on the model's device."""

    def reset_state(self, state: State, fresh: Bool[Tensor, " batch"]) -> State:
        """Return a copy of `state` in which the `fresh` lanes have the initial state.

        Args:
            state: State of all lanes.
            fresh: True where a lane begins a new document.
        """
        initial = self.initial_state(fresh.shape[0])
        return tuple(
            torch.where(fresh.view(-1, *[1] * (s.dim() - 1)), i, s)
            for i, s in zip(initial, state, strict=True)
        )

    @property
    def wants_one_thread(self) -> bool:
        """Whether the model runs fastest with torch limited to one thread.

        This is so if its products are so small that several threads would mostly wait for each
        other.
        """
        return False

    @property
    def parameter_count(self) -> int:
        """Number of trained parameters (single numbers, not tensors)."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> torch.device:
        """Device that the model is on."""
        return next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))


class NeuralLanguageModel(LanguageModel):
    """A language model that is trained by gradient descent.

    It computes features, the outputs of its last layer, and maps them to logits linearly. The two
    parts are separate methods because training computes the loss without holding all logits.
    """

    @abstractmethod
    def features(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """Return the outputs of the last layer, and the state after the last input."""

    @abstractmethod
    def drop(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time features"]:
        """Return the features after the dropout that precedes the output layer in training."""

    @property
    @abstractmethod
    def activations(self) -> int:
        """Estimate of the numbers that training holds in memory per time step and lane.

        It includes what the backward pass needs, but not the output layer.
        """

    @property
    @abstractmethod
    def output_layer(self) -> tuple[Float[Tensor, "vocab features"], Float[Tensor, " vocab"]]:
        """The weight matrix and the bias of the output layer, which maps features to logits."""

    def logits(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time vocab"]:
        """Return the logits of the next token."""
        return functional.linear(features, *self.output_layer)

    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return the logits and the state after the last input; see `LanguageModel.forward`."""
        features, state = self.features(inputs, state)
        return self.logits(self.drop(features)), state


def detach_state(state: State) -> State:
    """Return the state detached from the autograd graph, so that no gradient flows through it."""
    return tuple(part.detach() for part in state)
