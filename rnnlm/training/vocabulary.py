"""Which part of a large vocabulary a step's softmax is over."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HALVINGS = 60
"""Of the interval in which the factor of the shares is sought."""


class Sample(NamedTuple):
    """Part of a vocabulary.

    Attributes:
        ids: Distinct, rising, shape (sampled,).
        log_shares: Logarithms of the probabilities with which these were drawn, shape (sampled,).
    """

    ids: Tensor
    log_shares: Tensor


class VocabularySampler:
    """Draws a sample of a vocabulary for each step: token i with probability min(1, c·√nᵢ).

    nᵢ is how often the training split has it, and c makes the expected size the one that is
    configured. So the most frequent tokens are in every sample.

    Source: one sample for all targets of a step, Jean et al. 2015.
    """

    def __init__(self, counts: NDArray[np.integer], size: int, seed: int) -> None:
        """Work out the shares.

        Args:
            counts: How often each token is in the training split, shape (vocab,).
            size: Expected tokens of a sample, fewer than the vocabulary has.
            seed: With the step it decides the sample.
        """
        self._shares = _shares(np.sqrt(np.maximum(counts, 1)), size)
        self._seed = seed

    def draw(self, step: int, device: torch.device) -> Sample:
        """Return the sample of a step; the same one whenever it is asked for."""
        drawn = np.random.default_rng([self._seed, step]).random(len(self._shares))
        ids = np.flatnonzero(drawn < self._shares)
        log_shares = np.log(self._shares[ids]).astype(np.float32)
        return Sample(torch.from_numpy(ids).to(device), torch.from_numpy(log_shares).to(device))


def _shares(weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return min(1, c·wᵢ) with a sum of `size`."""
    low, high = 0.0, 1.0 / float(weights.min())
    for _ in range(HALVINGS):
        factor = (low + high) / 2
        if np.minimum(1.0, factor * weights).sum() < size:
            low = factor
        else:
            high = factor
    return np.minimum(1.0, high * weights)
