"""The training loss: cross-entropy of each token given the true text before it, plus penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rnnlm.batching import Window
from rnnlm.kernels.cross_entropy import linear_cross_entropy
from rnnlm.kernels.sampled_softmax import sampled_cross_entropy
from rnnlm.models import NeuralLanguageModel, State

if TYPE_CHECKING:
    from rnnlm.config import TrainingConfig
    from rnnlm.training.vocabulary import Sample


class Objective(NamedTuple):
    """The loss of a window, which is the tokens of one training step.

    Attributes:
        loss: Loss to differentiate, a scalar: the nats of this window divided by the number of
            tokens of the whole batch, plus the penalties.
        nll_nats: Negative log-likelihood in nats, a scalar: the sum over all targets except
            padding, without penalties or label smoothing. It has no gradient.
        state: Recurrent state after the window.
    """

    loss: Tensor
    nll_nats: Tensor
    state: State


def objective(
    model: NeuralLanguageModel,
    window: Window,
    state: State,
    config: TrainingConfig,
    tokens: int | Tensor,
    precision: torch.dtype,
    sample: Sample | None = None,
) -> Objective:
    """Return the mean of J⁽ᵗ⁾ = −log ŷ⁽ᵗ⁾ plus the penalties, for one window.

    ŷ⁽ᵗ⁾ is the probability that the model assigns to the true next token at time t, h⁽ᵗ⁾ the output
    of the last layer, and drop the dropout before the output layer.

    Args:
        model: Model, already in training or evaluation mode.
        window: Inputs and targets, on the model's device.
        state: Recurrent state before the window.
        config: Sets label smoothing and the factors of two penalties: `activation_penalty` is α in
            α·mean(drop(h)²), and `temporal_penalty` is β in β·mean((h⁽ᵗ⁺¹⁾ − h⁽ᵗ⁾)²). The means
            are over features and over all tokens except padding.
        tokens: Number of tokens to divide the sums by. It is that of the whole batch, of which this
            window may be only the share of one process. It may be a scalar tensor.
        precision: Precision of the model's matrix products; the loss itself is in float32.
        sample: Sample of the vocabulary over which the softmax is computed; None for the whole
            vocabulary. With a sample, `nll_nats` is only an estimate.

    Source: the penalties, Merity et al. 2017; label smoothing, Szegedy et al. 2016.
    """
    reduced = precision is not torch.float32
    with torch.autocast(window.inputs.device.type, precision, enabled=reduced):
        features, state = model.features(window.inputs, state)
        dropped = model.drop(features)
        outputs = dropped.flatten(0, 1), *model.output_layer
        targets = window.targets.flatten(), window.mask.flatten()
        if sample is None:
            total, nll_nats = linear_cross_entropy(*outputs, *targets, config.label_smoothing)
        else:
            total = sampled_cross_entropy(*outputs, *targets, *sample)
            nll_nats = total.detach()
    loss = total / tokens
    counted = window.mask[:, :, None]
    if config.activation_penalty:
        squares = dropped.float().square() * counted
        loss = loss + config.activation_penalty * squares.mean(dim=2).sum() / tokens
    if config.temporal_penalty:
        squares = features.float().diff(dim=1).square() * counted[:, 1:]
        loss = loss + config.temporal_penalty * squares.mean(dim=2).sum() / tokens
    return Objective(loss, nll_nats, state)
