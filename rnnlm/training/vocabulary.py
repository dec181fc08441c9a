"""Sample the part of a large vocabulary that a step's softmax covers."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HALVINGS = 60
"""Halvings of the interval in the search for the factor c."""


class Sample(NamedTuple):
    """A sample of a vocabulary.

    Attributes:
        ids: Distinct token ids in ascending order, shape (sampled,).
        log_shares: Log-probabilities with which these ids were drawn, shape (sampled,).
    """

    ids: Tensor
    log_shares: Tensor


class VocabularySampler:
    """Draws a sample of a vocabulary for each step: token i with probability min(1, c·√nᵢ).

    nᵢ is the number of times token i occurs in the training split, and c is chosen so that the
    expected size is the configured one. The most frequent tokens are therefore in every sample.

    Source: one sample for all targets of a step, Jean et al. 2015.
    """

    def __init__(self, counts: NDArray[np.integer], size: int, seed: int) -> None:
        """Compute the probabilities.

        Args:
            counts: Number of times each token occurs in the training split, shape (vocab,).
            size: Expected number of tokens in a sample, smaller than the vocabulary.
            seed: Seed that determines the sample, together with the step.
        """
        self._shares = _shares(np.sqrt(np.maximum(counts, 1)), size)
        self._seed = seed

    def draw(self, step: int, device: torch.device) -> Sample:
        """Return the sample of a step, which is the same for every call."""
        drawn = np.random.default_rng([self._seed, step]).random(len(self._shares))
        ids = np.flatnonzero(drawn < self._shares)
        log_shares = np.log(self._shares[ids]).astype(np.float32)
        return Sample(torch.from_numpy(ids).to(device), torch.from_numpy(log_shares).to(device))


def _shares(weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return min(1, c·wᵢ), with c such that the sum is `size`."""
    low, high = 0.0, 1.0 / float(weights.min())
    for _ in range(HALVINGS):
        factor = (low + high) / 2
        if np.minimum(1.0, factor * weights).sum() < size:
            low = factor
        else:
            high = factor
    return np.minimum(1.0, high * weights)
