"""The optimizer, the learning rate over the budget, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.config import TrainingConfig
from rnnlm.training.muon import Muon

LOWEST_SHARE = 0.01
"""Where warm-up begins and the cosine ends, as a share of the peak learning rate."""

SMALLEST_SIDE = 16
"""Smallest side of a matrix for Muon. A convolution's short side is not a feature axis."""


def optimizer_of(
    model: nn.Module, config: TrainingConfig, precision: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Return the configured optimizer, with weight decay for matrices but not for biases.

    Muon updates only the layers' matrices; AdamW updates the rest, such as the embedding and the
    output matrix. Muon's products are computed in `precision`.

    Source: AdamW, Loshchilov and Hutter 2019; Adam, Kingma and Ba 2015; Muon, see its module.
    """
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if config.optimizer == "muon":
        inner = {id(p) for name, p in model.named_parameters() if _is_inner(name, p)}
        orthogonal = [p for p in matrices if id(p) in inner]
        groups[0]["params"] = [p for p in matrices if id(p) not in inner]
        decay = config.weight_decay
        groups.append({"params": orthogonal, "weight_decay": decay, "orthogonal": True})
        return Muon(groups, config.learning_rate, precision)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, fused=True)


def _is_inner(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a weight is a layer's matrix, which maps features to features."""
    is_matrix = parameter.dim() == 2 and min(parameter.shape) >= SMALLEST_SIDE
    return is_matrix and name.startswith("layers.")


def learning_rate(config: TrainingConfig, share: float) -> float:
    """Return the learning rate when `share` of the budget is spent.

    It rises linearly to the peak. Then it falls along half a cosine to a hundredth of the peak, or
    stays at the peak.

    Source: Loshchilov and Hutter 2017 (SGDR), one cycle.
    """
    if share < config.warmup:
        return config.learning_rate * max(share / config.warmup, LOWEST_SHARE)
    if config.schedule != "cosine":
        return config.learning_rate
    fall = (min(share, 1.0) - config.warmup) / (1.0 - config.warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * fall))
    return config.learning_rate * (LOWEST_SHARE + (1.0 - LOWEST_SHARE) * cosine)


class WeightAverage:
    """A running average of a model's weights; the average is what is scored and saved.

    `exponential` follows the weights from the first step, with a decay that grows to
    `average_decay` as min(decay, (1 + n) / (10 + n)); `triggered` is the plain mean of all steps
    since `trigger` validations in a row brought no improvement.

    Source: averaged SGD, Polyak and Juditsky 1992; its trigger, Merity et al. 2018, algorithm 1;
    the growing decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        """Start without an average."""
        self._parameters = dict(model.named_parameters())
        self._config = config
        self.steps = 0
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, worse_in_a_row: int) -> None:
        """Add the weights after a step to the average."""
        if self._config.averaging == "none":
            return
        if self._config.averaging == "triggered":
            if not self.steps and worse_in_a_row < self._config.trigger:
                return
            weight = 1.0 / (self.steps + 1)
        else:
            grown = (1 + self.steps) / (10 + self.steps)
            weight = 1.0 - min(self._config.average_decay, grown)
        if not self.weights:
            self.weights = {n: p.detach().clone() for n, p in self._parameters.items()}
        names = [*self.weights]
        torch._foreach_lerp_(
            [self.weights[name] for name in names],
            [self._parameters[name].detach() for name in names],
            weight,
        )
        self.steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights within this context, if there is an average."""
        own = {name: self._parameters[name].detach().clone() for name in self.weights}
        self._write(self.weights)
        try:
            yield
        finally:
            self._write(own)

    def load(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Continue from a saved average."""
        self.steps = steps
        self.weights = {n: w.to(self._parameters[n].device) for n, w in weights.items()}

    @torch.no_grad()
    def _write(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in weights.items():
            self._parameters[name].copy_(value)
