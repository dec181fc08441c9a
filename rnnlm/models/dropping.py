"""Dropout, which sets random numbers to zero in training to keep a model from memorising its text.

The numbers that are not dropped are divided by the probability of being kept, so that sums stay the
same on average. Nothing is dropped in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Float


class FeatureDropout(nn.Module):
    """Set random features to zero, by default the same ones at every time step of a sequence.

    Source: locked (variational) dropout, Gal and Ghahramani 2016.
    """

    def __init__(self, share: float, locked: bool = True) -> None:
        """Store the arguments.

        Args:
            share: Probability that a feature is dropped.
            locked: Drop the same features at every time step, instead of new ones at each.
        """
        super().__init__()
        self.share, self.locked = share, locked

    @property
    def drops(self) -> bool:
        """Whether `forward` drops anything: only in training mode, and if `share` is above 0."""
        return self.training and self.share > 0.0

    def forward(
        self, features: Float[Tensor, "time batch features"]
    ) -> Float[Tensor, "time batch features"]:
        """Return the features, with some of them set to zero and the others scaled up."""
        if not self.drops:
            return features
        if not self.locked:
            return functional.dropout(features, self.share)
        mask = torch.empty_like(features[:1]).bernoulli_(1.0 - self.share).div_(1.0 - self.share)
        return features * mask


def seed_dropout(entropy: Sequence[int], device: torch.device) -> None:
    """Seed the random generator of dropout, so that what is dropped depends only on `entropy`.

    Args:
        entropy: Non-negative numbers, such as a run's seed, the step and the rank of the process.
        device: Device of the model. Only the generator of this device is seeded, in the same way as
            by `torch.manual_seed`, which also seeds all other devices and takes 0.1 ms.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def drop_rows(
    table: Float[Tensor, "vocab features"], share: float, training: bool
) -> Float[Tensor, "vocab features"]:
    """Return an embedding matrix in which the rows of random tokens are set to zero.

    Args:
        table: The embedding matrix; not modified.
        share: Probability that a row is dropped.
        training: Whether the model is in training mode; otherwise nothing is dropped.

    Source: embedding dropout, Gal and Ghahramani 2016; Merity et al. 2018, section 4.3.
    """
    if not training or share == 0.0:
        return table
    mask = table.new_empty(len(table), 1).bernoulli_(1.0 - share).div_(1.0 - share)
    return table * mask


def drop_weights(
    weight: Float[Tensor, "rows columns"], share: float, training: bool
) -> Float[Tensor, "rows columns"]:
    """Return a recurrent weight matrix in which random weights are set to zero.

    The result is used at all time steps of a sequence, so the same weights are dropped at all.

    Args:
        weight: The matrix; not modified.
        share: Probability that a weight is dropped.
        training: Whether the model is in training mode; otherwise nothing is dropped.

    Source: DropConnect, Wan et al. 2013; on the recurrent weights, Merity et al. 2018, section 2.
    """
    return functional.dropout(weight, share, training) if share else weight
