"""The part of a vocabulary that a step's softmax is over."""

import numpy as np
import pytest
import torch

from rnnlm.training.vocabulary import VocabularySampler

VOCAB, SIZE = 500, 100
CPU = torch.device("cpu")


def sampler(seed: int = 1) -> VocabularySampler:
    """Return a sampler of a text with Zipf's frequencies, where the last tokens are missing."""
    counts = (2000 / np.arange(1, VOCAB + 1)).astype(int)
    counts[-50:] = 0
    return VocabularySampler(counts, SIZE, seed)


def test_a_sample_has_the_size_that_is_asked_for_and_distinct_ids():
    samples = [sampler().draw(step, CPU) for step in range(50)]
    assert np.mean([len(sample.ids) for sample in samples]) == pytest.approx(SIZE, rel=0.03)
    assert all((sample.ids.diff() > 0).all() for sample in samples)
    assert all(sample.ids.shape == sample.log_shares.shape for sample in samples)


def test_tokens_are_drawn_as_often_as_their_shares_say():
    drawn, shares = np.zeros(VOCAB), np.zeros(VOCAB)
    one = sampler()
    for step in range(1000):
        sample = one.draw(step, CPU)
        drawn[sample.ids] += 1
        shares[sample.ids] = sample.log_shares.exp()
    assert (drawn > 0).all()  # also those that the training split has not
    assert np.abs(drawn / 1000 - shares).max() < 0.07
    assert shares[0] == drawn[0] / 1000 == 1.0
    assert (np.diff(shares) <= 1e-6).all()  # the more frequent, the more often


def test_a_step_has_the_same_sample_again_and_another_seed_has_another():
    assert torch.equal(sampler().draw(7, CPU).ids, sampler().draw(7, CPU).ids)
    assert not torch.equal(sampler().draw(7, CPU).ids, sampler().draw(8, CPU).ids)
    assert not torch.equal(sampler().draw(7, CPU).ids, sampler(seed=2).draw(7, CPU).ids)
