"""The interface of all language models here, and its extension for training by gradient."""

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
"""What a model remembers between calls: tensors whose first dimension is the batch."""


class LanguageModel(nn.Module, ABC):
    """A language model with a state: `(inputs, state) → (logits, state)`.

    One call on 64 tokens gives the same as four calls on 16 tokens with the state carried over.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Store the config and the size of the vocabulary."""
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size

    @abstractmethod
    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return the logits of each next token and the state after the last input."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before a document's first token, on the model's device."""

    def reset_state(self, state: State, fresh: Bool[Tensor, " batch"]) -> State:
        """Return `state` with the initial state in the lanes that are `fresh`."""
        initial = self.initial_state(fresh.shape[0])
        return tuple(
            torch.where(fresh.view(-1, *[1] * (s.dim() - 1)), i, s)
            for i, s in zip(initial, state, strict=True)
        )

    @property
    def wants_one_thread(self) -> bool:
        """Whether one thread is best, because several would mostly wait for each other."""
        return False

    @property
    def parameter_count(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> torch.device:
        """Device that the model is on."""
        return next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))


class NeuralLanguageModel(LanguageModel):
    """A language model trained by gradient: it computes features, and from them the logits."""

    @abstractmethod
    def features(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """Return the outputs of the last layer, and the state after the last input."""

    @abstractmethod
    def drop(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time features"]:
        """Return the features as the output layer sees them: some are dropped in training."""

    @property
    @abstractmethod
    def activations(self) -> int:
        """Numbers that training keeps per step and lane, excluding the output layer."""

    @property
    @abstractmethod
    def output_layer(self) -> tuple[Float[Tensor, "vocab features"], Float[Tensor, " vocab"]]:
        """The matrix and the bias that map features to logits."""

    def logits(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time vocab"]:
        """Return the logits of the next token."""
        return functional.linear(features, *self.output_layer)

    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return logits and state; see `LanguageModel.forward`."""
        features, state = self.features(inputs, state)
        return self.logits(self.drop(features)), state


def detach_state(state: State) -> State:
    """Return the state without its gradient history, so that no gradient flows further back."""
    return tuple(part.detach() for part in state)
