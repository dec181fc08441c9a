import math

import pytest

from rnnlm.training.divergence import DivergedError, is_good, watch
from rnnlm.training.position import Position

UNIFORM = math.log(67)


def after(losses: list[float]) -> Position:
    """Return the position of a run with these losses."""
    position = Position()
    for step, nats in enumerate(losses, start=1):
        watch(position, step, nats, 1.0, UNIFORM)
    return position


FALLING = [1.5 + 2.7 * 0.98**step for step in range(400)]


@pytest.mark.parametrize(("nats", "norm"), [(math.nan, 1.0), (13.0, 1.0), (1.0, math.inf)])
def test_a_step_that_explodes_is_divergence(nats: float, norm: float):
    with pytest.raises(DivergedError, match=r"^9: "):
        watch(after(FALLING[:8]), 9, nats, norm, UNIFORM)


def test_a_loss_that_rises_and_stays_up_is_divergence():
    rising = [1.5 + 0.01 * step for step in range(300)]  # never as bad as a uniform guess
    with pytest.raises(DivergedError, match=r"lately 0\.8\d above its lowest"):
        after(FALLING + rising)


def test_a_few_bad_steps_are_not():
    assert is_good(after([*FALLING, 4.0, 4.0, 4.0]), 1.6, UNIFORM)


def test_a_position_on_the_way_up_or_no_better_than_chance_is_none_to_return_to():
    assert is_good(after(FALLING), 1.6, UNIFORM)
    assert not is_good(after(FALLING), UNIFORM, UNIFORM)
    assert not is_good(after([*FALLING, *[2.5] * 30]), 1.6, UNIFORM)
