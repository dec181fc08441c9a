"""What training minimises: cross-entropy under teacher forcing, plus penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rnnlm.batching import Window
from rnnlm.kernels import linear_cross_entropy, sampled_cross_entropy
from rnnlm.models import NeuralLanguageModel, State

if TYPE_CHECKING:
    from rnnlm.config import TrainingConfig
    from rnnlm.training.vocabulary import Sample


class Objective(NamedTuple):
    """A window's loss.

    Attributes:
        loss: Loss to differentiate: nats per token of the whole batch, plus the penalties.
        nll_nats: Nats summed over the tokens that count, without penalties or smoothing; no
            gradient.
        state: State after the window.
    """

    loss: Tensor
    nll_nats: Tensor
    state: State


def objective(
    model: NeuralLanguageModel,
    window: Window,
    state: State,
    config: TrainingConfig,
    tokens: int,
    precision: torch.dtype,
    sample: Sample | None = None,
) -> Objective:
    """Return the mean of J⁽ᵗ⁾ = −log ŷ⁽ᵗ⁾ of the true next token, plus the penalties.

    Args:
        model: Model, already in training or eval mode.
        window: Window on the model's device.
        state: State before the window.
        config: Sets label smoothing and the penalties α·mean(drop(h)²) and
            β·mean((h⁽ᵗ⁺¹⁾ − h⁽ᵗ⁾)²), whose means are over features and the tokens that count.
        tokens: Number to divide by: the tokens of the whole batch, of which this window may be only
            the share of one process.
        precision: Precision of the model's products; the loss itself is in float32.
        sample: Part of the vocabulary that the softmax covers; None for all of it. With a sample,
            `nll_nats` is an estimate.

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
