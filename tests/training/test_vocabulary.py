"""Test the sampling of the part of the vocabulary over which a step computes its softmax."""

import numpy as np
import pytest
import torch

from rnnlm.training.vocabulary import VocabularySampler

VOCAB, SIZE = 500, 100
CPU = torch.device("cpu")


def sampler(seed: int = 1) -> VocabularySampler:
    """Return a sampler for token counts that follow Zipf's law, with 0 for the last 50 tokens."""
    counts = (2000 / np.arange(1, VOCAB + 1)).astype(int)
    counts[-50:] = 0
    return VocabularySampler(counts, SIZE, seed)


def test_a_sample_has_the_requested_size_and_distinct_ids():
    samples = [sampler().draw(step, CPU) for step in range(50)]
    assert np.mean([len(sample.ids) for sample in samples]) == pytest.approx(SIZE, rel=0.03)
    assert all((sample.ids.diff() > 0).all() for sample in samples)
    assert all(sample.ids.shape == sample.log_shares.shape for sample in samples)


def test_tokens_are_drawn_with_their_shares_as_probabilities():
    drawn, shares = np.zeros(VOCAB), np.zeros(VOCAB)
    one = sampler()
    for step in range(1000):
        sample = one.draw(step, CPU)
        drawn[sample.ids] += 1
        shares[sample.ids] = sample.log_shares.exp()
    assert (drawn > 0).all()  # including those that are not in the training split
    assert np.abs(drawn / 1000 - shares).max() < 0.07
    assert shares[0] == drawn[0] / 1000 == 1.0
    assert (np.diff(shares) <= 1e-6).all()  # more frequent tokens are drawn more often


def test_samples_depend_only_on_step_and_seed():
    assert torch.equal(sampler().draw(7, CPU).ids, sampler().draw(7, CPU).ids)
    assert not torch.equal(sampler().draw(7, CPU).ids, sampler().draw(8, CPU).ids)
    assert not torch.equal(sampler().draw(7, CPU).ids, sampler(seed=2).draw(7, CPU).ids)
