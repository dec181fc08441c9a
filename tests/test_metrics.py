import math

import pytest

from rnnlm.metrics import Score, perplexity


def test_scores_of_parts_add_up_to_the_whole():
    total = Score(3.0, 4, 3, 5, 1) + Score(5.0, 6, 5, 7, 2)
    assert total == Score(8.0, 10, 8, 12, 3)


def test_uniform_predictions_give_a_perplexity_of_the_vocabulary():
    score = Score(nll_nats=10 * math.log(41), tokens=10, characters=9, bytes=9)
    assert score.perplexity == pytest.approx(41)
    assert score.bits_per_character == pytest.approx(10 * math.log2(41) / 9)


def test_perplexity_overflows_to_infinity():
    assert perplexity(1e6) == math.inf


def test_figures_and_metrics_have_these_names():
    score = Score(nll_nats=4 * math.log(2), tokens=2, characters=4, bytes=8, unknown=1)
    assert score.figures() == pytest.approx(
        {
            "nll_nats_per_token": 2 * math.log(2),
            "bits_per_character": 1.0,
            "bits_per_byte": 0.5,
            "perplexity": 4.0,
            "tokens": 2,
            "characters": 4,
            "bytes": 8,
            "unknown": 1,
        }
    )
    assert score.metrics("test") == pytest.approx(
        {
            "test/nll_nats_per_token": 2 * math.log(2),
            "test/bits_per_character": 1.0,
            "test/perplexity": 4.0,
        }
    )
