"""The optimizer, the learning rate schedule, and the running average of the weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.config import TrainingConfig
from rnnlm.training.muon import Muon

LOWEST_SHARE = 0.01
"""Learning rate at the start of warm-up and at the end of the cosine, as a share of the peak."""

SMALLEST_SIDE = 16
"""Fewest rows and columns of a matrix that Muon updates.

This excludes the weights of a convolution over time, whose short side is a number of time steps.
"""

_MARK = "__dynamo_disable"
"""Where `torch._disable_dynamo` keeps a method that the compiler leaves alone."""


def optimizer_of(
    model: nn.Module, config: TrainingConfig, precision: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Return the configured optimizer, with weight decay for matrices but not for biases.

    With `training.optimizer = "muon"`, Muon updates only the matrices of the recurrent layers;
    AdamW updates all other weights, such as the embedding and the output matrix.

    Args:
        model: Model whose parameters are optimized.
        config: Sets the kind of optimizer, the learning rate, the momentum and the weight decay.
        precision: Precision of Muon's matrix products; other optimizers ignore it.

    Source: AdamW, Loshchilov and Hutter 2019; Adam, Kingma and Ba 2015; Muon, see
    `rnnlm.training.muon`.
    """
    _leave_out_compiler()
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


def step_of(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return a function that does what `optimizer.step()` does, without torch's compiler.

    Torch wraps `step` for its compiler, and imports that when `step` is first called, which takes
    over a second. Nothing here is compiled, so call what is wrapped.
    """
    return partial(torch.no_grad()(inspect.unwrap(type(optimizer).step)), optimizer)


def _leave_out_compiler() -> None:
    """Keep torch from importing its compiler for the other methods of optimizers.

    Torch marks some methods as not to be compiled, and imports the compiler to do so when they are
    first called. Mark them as if that were done.
    """
    kind = torch.optim.Optimizer
    for method in (kind.add_param_group, kind.zero_grad, kind.state_dict, kind.load_state_dict):
        plain = inspect.unwrap(method)
        if not hasattr(plain, _MARK):
            setattr(plain, _MARK, plain)


def _is_inner(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a weight is a matrix of a recurrent layer that maps features to features."""
    is_matrix = parameter.dim() == 2 and min(parameter.shape) >= SMALLEST_SIDE
    return is_matrix and name.startswith("layers.")


def learning_rate(config: TrainingConfig, share: float) -> float:
    """Return the learning rate when `share` of the training budget is spent.

    The rate rises linearly to its peak, `training.learning_rate`, during warm-up. Then it falls
    along half a cosine to a hundredth of the peak if `training.schedule` is `cosine`; otherwise it
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
    """A running average of a model's weights over the steps of training.

    The averaged weights, not the current ones, are validated and saved as the best checkpoint. The
    setting `training.averaging` chooses the kind of average:

    - `exponential` is an exponential moving average from the first step on. After n steps its decay
      is min(`average_decay`, (1 + n) / (10 + n)).
    - `triggered` is the plain mean of the weights. It starts when `trigger` validations in a row
      have brought no improvement.
    - `none` disables averaging.

    Source: averaged SGD, Polyak and Juditsky 1992; its trigger, Merity et al. 2018, algorithm 1;
    the growing decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        """Store the arguments; there is no average until the first `update`."""
        self._parameters = dict(model.named_parameters())
        self._config = config
        self.steps = 0
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, worse_in_a_row: int) -> None:
        """Include the model's current weights in the average; call this after every step.

        Args:
            worse_in_a_row: Number of validations since the best one.
        """
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
        """Use the averaged weights in the model within this context, then restore its own.

        If there is no average yet, the model keeps its own weights.
        """
        own = {name: self._parameters[name].detach().clone() for name in self.weights}
        self._write(self.weights)
        try:
            yield
        finally:
            self._write(own)

    def load(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Restore a saved average.

        Args:
            weights: The averaged weights by name; empty if there is no average yet.
            steps: Number of steps that the average includes.
        """
        self.steps = steps
        self.weights = {n: w.to(self._parameters[n].device) for n, w in weights.items()}

    @torch.no_grad()
    def _write(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in weights.items():
            self._parameters[name].copy_(value)
