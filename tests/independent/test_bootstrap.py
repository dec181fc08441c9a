"""Test comparisons and intervals against scipy's bootstrap and t tests, and a slow bootstrap."""

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap, ttest_1samp

from rnnlm.dataset import from_texts
from rnnlm.evaluation.comparison import TextNats, compare
from rnnlm.evaluation.intervals import bits_per_character_interval
from rnnlm.evaluation.scoring import Pieces
from rnnlm.tokenizer import CharacterTokenizer

Array = NDArray[np.float64]
UNITS = range(20, 140, 4)
"""Numbers of documents; each gives another sample and other resamples."""


def drawn(units: int) -> tuple[TextNats, TextNats]:
    """Return the nats of two models on some documents; the second is a little worse, or much."""
    chance, worse_by = np.random.default_rng(units), 0.02 if units % 8 else 0.4
    characters = chance.integers(5, 90, units)
    better = characters * chance.uniform(1.0, 2.0, units)
    worse = better + characters * chance.normal(worse_by, 0.08, units)
    return (
        TextNats(better, characters, better, characters),
        TextNats(worse, characters, worse, characters),
    )


def bits(nats: Array, characters: Array, axis: int = -1) -> Array:
    total: Array = nats.sum(axis) / math.log(2) / characters.sum(axis)
    return total


def test_comparisons_are_those_of_scipys_paired_bootstrap():
    ends, confidences = [], []
    for units in UNITS:
        first, second = drawn(units)
        ours = compare(first, second, 0.9)
        gains = second.documents - first.documents
        theirs = bootstrap(
            (gains, first.characters.astype(float)),
            bits,
            paired=True,
            vectorized=True,
            confidence_level=0.9,
            n_resamples=9999,
            method="percentile",
            rng=np.random.default_rng(7),
        )
        spread = theirs.standard_error
        assert ours.better_by == pytest.approx(bits(gains, first.characters))
        low, high = theirs.confidence_interval
        ends.append([(ours.low - low) / spread, (ours.high - high) / spread])
        confidences.append(ours.confidence - (theirs.bootstrap_distribution > 0).mean())
        # A thousand resamples place an end of the interval within 0.07 standard errors.
        assert np.abs(ends[-1]).max() < 0.35
    assert np.abs(np.mean(ends, axis=0)).max() < 0.06
    assert abs(np.mean(confidences)) < 0.01
    assert np.abs(confidences).max() < 0.07


@pytest.mark.parametrize("units", [2, 3, 8, 19])
def test_few_documents_of_one_length_are_compared_as_by_scipys_t_test(units: int):
    first, second = (
        TextNats(one.documents, np.full(units, 40), one.documents, np.full(units, 40))
        for one in drawn(units)
    )
    ours = compare(first, second, 0.9)
    each = (second.documents - first.documents) / 40 / math.log(2)
    theirs = ttest_1samp(each, 0.0, alternative="greater")
    low, high = ttest_1samp(each, 0.0).confidence_interval(0.9)
    assert ours.confidence == pytest.approx(1.0 - theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx((low, high))


def slow_interval(documents: list[Array], characters: int, seed: int) -> tuple[float, float]:
    """Return a 95% interval of the bits per character, by resampling documents in plain Python.

    The bits per token of each resample are scaled by the tokens per character of the whole text.
    """
    chance = random.Random(seed)
    per_character = sum(map(len, documents)) / characters / math.log(2)
    sums = [(float(nats.sum()), len(nats)) for nats in documents]
    ratios = []
    for _ in range(4000):
        chosen = chance.choices(sums, k=len(sums))
        ratios.append(sum(nats for nats, _ in chosen) / sum(tokens for _, tokens in chosen))
    ratios.sort()
    return ratios[100] * per_character, ratios[3900] * per_character


def test_intervals_of_a_score_are_those_of_a_slow_bootstrap():
    tokenizer, ends = CharacterTokenizer("ab"), []
    for units in UNITS[::3]:
        chance = np.random.default_rng(units)
        lengths = chance.integers(3, 60, units).tolist()
        arrays = from_texts(tokenizer, ["a" * length for length in lengths])
        levels = np.repeat(chance.uniform(0.5, 2.0, units), arrays.lengths)
        nats = chance.gamma(4.0, 0.25, len(arrays.tokens)) * levels
        low, high = bits_per_character_interval(Pieces(arrays).of_tokens(nats))
        documents = np.split(nats, arrays.offsets[1:-1])
        expected = slow_interval(documents, sum(lengths), units)
        width = (expected[1] - expected[0]) / 3.92
        ends.append([(low - expected[0]) / width, (high - expected[1]) / width])
    assert np.abs(ends).max() < 0.4
    assert np.abs(np.mean(ends, axis=0)).max() < 0.12
