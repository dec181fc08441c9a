import pytest

from rnnlm.review.curves import bits_per_nat, can_draw_curves, draw_curves, said_of_learning


def rows_of(validations: list[float]) -> list[dict[str, float]]:
    return [
        {
            "step": 10 * (n + 1),
            "tokens": 1000 * (n + 1),
            "seconds": n + 1.0,
            "train/nll_nats_per_token": 3.0 / (n + 1),
            "train/learning_rate": 0.01 / (n + 1),
            "train/gradient_norm": 10.0 ** (3 - n),
            "train/tokens_per_second": 1000.0,
            "validation/nll_nats_per_token": nats,
            "validation/bits_per_character": nats * 1.5,
            "validation/perplexity": 2.0,
        }
        for n, nats in enumerate(validations)
    ]


@pytest.mark.parametrize(("ngrams", "best"), [(None, 999), (30.0, 10)])
def test_any_history_can_be_drawn(ngrams: float | None, best: int):
    picture = draw_curves(rows_of([3.0, 2.0, 1.5]), best, ngrams)
    assert picture.light != picture.dark


def test_a_history_of_equal_values_can_be_drawn():
    rows = [{**row, "train/nll_nats_per_token": 1.0} for row in rows_of([1.0, 1.0])]
    draw_curves(rows, 10, 1.5)


def test_a_single_row_makes_no_curve():
    assert not can_draw_curves([])
    assert not can_draw_curves(rows_of([3.0]))
    assert can_draw_curves(rows_of([3.0, 2.0]))


def test_bits_per_character_are_proportional_to_nats_per_token():
    assert bits_per_nat(rows_of([3.0, 2.0])) == pytest.approx(1.5)


def test_the_caption_states_whether_training_was_too_long_or_too_short():
    assert "rose by 1.500" in said_of_learning(rows_of([3.0, 2.0, 3.0]), 20)
    assert "still falling at the end, by 1.500" in said_of_learning(rows_of([3.0, 2.0]), 20)
    assert "level at the end" in said_of_learning(rows_of([3.0, 2.0, 2.0]), 30)
