"""Draw, for each training step, the sample of a large vocabulary that its softmax is computed over.

`rnnlm.kernels.sampled_softmax` uses the sample to compute the loss.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm.config import TrainingConfig
from rnnlm.tokens import TokenArrays

HALVINGS = 60
"""Iterations of the bisection that finds the factor c of `_shares`."""


class Sample(NamedTuple):
    """A sample of the tokens in a vocabulary.

    Attributes:
        ids: Distinct token ids in ascending order, shape (sampled,).
        log_shares: Natural logarithm of the probability with which each of these ids is included
            in a sample, shape (sampled,).
    """

    ids: Tensor
    log_shares: Tensor


class VocabularySampler:
    """Draws a sample of the vocabulary for each step of training.

    Token i is in a sample with probability min(1, c·√nᵢ), independently of other tokens. nᵢ is the
    number of times token i occurs in the training split, and c is chosen so that the expected size
    of a sample is the configured one. Tokens for which c·√nᵢ ≥ 1 are in every sample.

    Source: using one sample for all targets of a step, Jean et al. 2015.
    """

    def __init__(self, counts: NDArray[np.integer], size: int, seed: int) -> None:
        """Compute the probabilities.

        Args:
            counts: Number of times each token occurs in the training split, shape (vocab,).
            size: Expected number of tokens in a sample, smaller than the vocabulary.
            seed: Random seed; together with the number of the step, it determines a sample.
        """
        self._shares = _shares(np.sqrt(np.maximum(counts, 1)), size)
        self._seed = seed

    def draw(self, step: int, device: torch.device) -> Sample:
        """Return the sample of a step; the same step always gives the same sample."""
        drawn = np.random.default_rng([self._seed, step]).random(len(self._shares))
        ids = np.flatnonzero(drawn < self._shares)
        log_shares = np.log(self._shares[ids]).astype(np.float32)
        return Sample(torch.from_numpy(ids).to(device), torch.from_numpy(log_shares).to(device))


def sampler_of(
    config: TrainingConfig, split: TokenArrays, vocab_size: int
) -> VocabularySampler | None:
    """Return the sampler that `training.sampled_vocabulary` asks for; None for all tokens.

    Args:
        config: The settings of the training.
        split: The training split, whose tokens are counted.
        vocab_size: Number of tokens in the vocabulary.
    """
    if not 0 < config.sampled_vocabulary < vocab_size:
        return None
    counts = np.bincount(split.tokens, minlength=vocab_size)
    return VocabularySampler(counts, config.sampled_vocabulary, config.seed)


def _shares(weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return min(1, c·wᵢ) for each weight wᵢ, with c chosen so that the results sum to `size`."""
    low, high = 0.0, 1.0 / float(weights.min())
    for _ in range(HALVINGS):
        factor = (low + high) / 2
        if np.minimum(1.0, factor * weights).sum() < size:
            low = factor
        else:
            high = factor
    return np.minimum(1.0, high * weights)
