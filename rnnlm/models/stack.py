"""The common part of all neural models: an embedding, recurrent layers, and an output layer.

Most architectures differ only in the kind of recurrent layer.
"""

from __future__ import annotations

import math
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.models.contract import NeuralLanguageModel, State
from rnnlm.models.dropping import FeatureDropout, drop_rows
from rnnlm.models.layer import RecurrentLayer

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from rnnlm.config import ModelConfig


LARGEST_ALONE = 512
"""Largest layer for which the product of one time step is too small to use several threads."""


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        if not self.weight.is_meta:  # else `normal_` imports a compiler, which takes a second
            super().reset_parameters()


class StackedLanguageModel(NeuralLanguageModel):
    """A language model with an embedding, recurrent layers of one kind, and an output layer.

    The state is a tuple with the tensors of the first layer's state, then those of the second, and
    so on; the first dimension of each tensor is the batch. If weights are tied, the embedding
    matrix is also the matrix of the output layer.

    Source: tied weights, Press and Wolf 2017; the places of dropout, Merity et al. 2018.
    """

    def __init__(
        self, config: ModelConfig, vocab_size: int, layer_type: type[RecurrentLayer]
    ) -> None:
        """Create the layers; weights are drawn with torch's global random generator.

        Args:
            config: Configuration of the model.
            vocab_size: Number of tokens in the vocabulary.
            layer_type: Class of the recurrent layers.
        """
        super().__init__(config, vocab_size)
        sizes = (config.embedding_size, *config.layer_sizes)
        self.embedding = _Embedding(vocab_size, config.embedding_size)
        self.layers: list[RecurrentLayer] = nn.ModuleList(  # type: ignore[assignment]
            layer_type(before, after, config) for before, after in pairwise(sizes)
        )
        bound = 1.0 / math.sqrt(sizes[-1])
        self.b_2 = nn.Parameter(torch.empty(vocab_size).uniform_(-bound, bound))
        self.U: nn.Parameter | None = None
        if config.tie_weights:
            nn.init.uniform_(self.embedding.weight, -bound, bound)
        else:
            self.U = nn.Parameter(torch.empty(vocab_size, sizes[-1]).uniform_(-bound, bound))
        shares = (config.input_dropout, config.layer_dropout, config.output_dropout)
        self.drop_inputs, self.drop_between, self.drop_outputs = (
            FeatureDropout(config.dropout if share is None else share, config.locked_dropout)
            for share in shares
        )
        self._shapes = [shape for layer in self.layers for shape in layer.state_shapes]
        self.start = nn.ParameterList(
            torch.zeros(shape) for shape in self._shapes if config.learned_start
        )

    def features(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """Return the outputs of the last layer, and the state after the last input."""
        parts = iter(state)
        after: list[Tensor] = []
        table = drop_rows(self.embedding.weight, self.config.embedding_dropout, self.training)
        tokens = inputs.t()
        features = tokens.new_empty(0)
        for number, layer in enumerate(self.layers):
            own = (*islice(parts, len(layer.state_shapes)),)
            if number:
                features, own = layer(self.drop_between(features), own)
            elif self._pays_a_table(tokens):
                # In `table.dtype`, because each row accumulates the gradients of many inputs.
                projected = layer.project(table).to(table.dtype)
                features, own = layer.recur(_look_up(tokens, projected), own)
            else:
                features, own = layer(self.drop_inputs(_look_up(tokens, table)), own)
            after.extend(own)
        return features.transpose(0, 1), (*after,)

    def _pays_a_table(self, tokens: Int[Tensor, "time batch"]) -> bool:
        """Return whether to compute the first layer's `project` once per token of the vocabulary.

        The results of the inputs are then looked up in this table. This pays if there are at least
        as many inputs as tokens in the vocabulary. It is not done with dropout of the inputs, and
        not on a GPU, where cuDNN computes whole layers and needs the inputs themselves.
        """
        is_smaller = self.vocab_size <= tokens.numel()
        return is_smaller and not self.drop_inputs.drops and not tokens.is_cuda

    def drop(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time features"]:
        """Return the outputs of the last layer after `output_dropout`; unchanged in evaluation."""
        dropped: Tensor = self.drop_outputs(features.transpose(0, 1))
        return dropped.transpose(0, 1)

    @property
    def wants_one_thread(self) -> bool:
        """Whether the model runs fastest with torch limited to one thread.

        This is so on a CPU if a layer loops over time in Python with small products; measurements
        are in docs/experiments.md.
        """
        small = any(layer.loops_in_python and layer.size <= LARGEST_ALONE for layer in self.layers)
        return small and self.device.type == "cpu"

    @property
    def activations(self) -> int:
        """Numbers that training holds per time step and lane for the embedding and all layers."""
        own = (layer.activations * layer.size for layer in self.layers)
        return self.config.embedding_size + sum(own)

    @property
    def output_layer(self) -> tuple[Float[Tensor, "vocab features"], Float[Tensor, " vocab"]]:
        """The matrix U and bias b₂ of the logits U h + b₂; tied weights use the embedding as U."""
        return self.embedding.weight if self.U is None else self.U, self.b_2

    def initial_state(self, batch_size: int) -> State:
        """Return the state at the beginning of a document.

        It is zero or, with the setting `model.learned_start`, a parameter of the model.
        """
        if len(self.start):
            return tuple(part.expand(batch_size, *part.shape) for part in self.start)
        weight = self.embedding.weight
        return tuple(weight.new_zeros(batch_size, *shape) for shape in self._shapes)


def _look_up(
    tokens: Int[Tensor, "time batch"], table: Float[Tensor, "vocab features"]
) -> Float[Tensor, "time batch features"]:
    return functional.embedding(tokens, table)
