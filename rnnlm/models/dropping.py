"""Dropout in training, which keeps a model from memorising its text.

A dropped number is zero; the others are divided by the share that is kept, so that sums stay the
same on average. Nothing is dropped in eval mode.
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
    """Drop features, by default the same ones at every time step of a sequence.

    Source: locked (variational) dropout, Gal and Ghahramani 2016.
    """

    def __init__(self, share: float, locked: bool = True) -> None:
        """Drop each feature with probability `share`."""
        super().__init__()
        self.share, self.locked = share, locked

    @property
    def drops(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.share > 0.0

    def forward(
        self, features: Float[Tensor, "time batch features"]
    ) -> Float[Tensor, "time batch features"]:
        """Return the features, some of them zero."""
        if not self.drops:
            return features
        if not self.locked:
            return functional.dropout(features, self.share)
        mask = torch.empty_like(features[:1]).bernoulli_(1.0 - self.share).div_(1.0 - self.share)
        return features * mask


def seed_dropout(entropy: Sequence[int], device: torch.device) -> None:
    """Seed dropout, so that everything dropped from now on depends only on `entropy`.

    Args:
        entropy: Numbers such as a run's seed, the step and the process.
        device: Device of the model. Only its generator is seeded, with the same result as
            `torch.manual_seed`, which also seeds all other devices and takes 0.1 ms.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def drop_rows(
    table: Float[Tensor, "vocab features"], share: float, training: bool
) -> Float[Tensor, "vocab features"]:
    """Return the embedding with the whole rows of some tokens set to zero.

    Source: embedding dropout, Gal and Ghahramani 2016; Merity et al. 2018, section 4.3.
    """
    if not training or share == 0.0:
        return table
    mask = table.new_empty(len(table), 1).bernoulli_(1.0 - share).div_(1.0 - share)
    return table * mask


def drop_weights(
    weight: Float[Tensor, "rows columns"], share: float, training: bool
) -> Float[Tensor, "rows columns"]:
    """Return a recurrent matrix with some weights set to zero, the same ones at all time steps.

    Source: DropConnect, Wan et al. 2013; on the recurrent weights, Merity et al. 2018, section 2.
    """
    return functional.dropout(weight, share, training) if share else weight
