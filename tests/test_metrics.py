import math

import pytest

from rnnlm.metrics import Score, perplexity


def test_scores_of_parts_add_up_to_the_whole():
    total = Score(3.0, 4, 3, 5, 1) + Score(5.0, 6, 5, 7, 0)
    assert total == Score(8.0, 10, 8, 12, 1)


def test_uniform_predictions_give_a_perplexity_of_the_vocabulary():
    score = Score(nll_nats=10 * math.log(41), tokens=10, characters=9, bytes=9)
    assert score.perplexity == pytest.approx(41)
    assert score.bits_per_character == pytest.approx(10 * math.log2(41) / 9)


def test_perplexity_overflows_to_infinity():
    assert perplexity(1e6) == math.inf
