"""Test that text which was seen before is detected, whatever its case and line ends."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.overlap import SAMPLED, WORDS, is_seen, sample, windows

RANDOM = random.Random(5)
WORD_LIST = ["".join(RANDOM.choices("abcdefghij", k=5)) for _ in range(4000)]


def page(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORD_LIST, k=words))


def test_there_is_a_hash_for_each_window():
    assert len(windows(page(WORDS - 1, 1))) == 0
    assert len(windows(page(WORDS, 1))) == 1
    assert len(windows(page(100, 1))) == 100 - WORDS + 1


@given(st.integers(0, 10_000))
def test_case_punctuation_and_line_ends_are_ignored(seed: int):
    text = page(40, seed)
    changed = text.upper().replace(" ", ",\n", 5)
    assert np.array_equal(windows(text), windows(changed))


def test_the_sample_has_about_the_expected_size():
    taken = sample([page(100_000, 2)])
    assert 0.8 < len(taken) * SAMPLED / 100_000 < 1.2
    assert np.array_equal(taken, np.unique(taken))


def test_a_planted_page_is_found_and_others_are_not():
    known = sample(page(400, seed) for seed in range(300))
    assert all(is_seen(page(400, seed), known) for seed in range(100))
    assert not any(is_seen(page(400, seed), known) for seed in range(1000, 1100))
    assert is_seen(page(400, 2000)[:1000] + page(400, 7), known)
