import math

import pytest

from rnnlm.training.divergence import DivergedError, is_good, watch_step, watch_validation
from rnnlm.training.run_state import Position

UNIFORM = math.log(67)
FALLING = [1.5 + 2.7 * 0.98**step for step in range(400)]
RISING = [1.5 + 0.005 * step for step in range(300)]
"""Training losses that rise, but by less than `COLLAPSE` of the loss of a uniform guess."""


def after(losses: list[float]) -> Position:
    """Return the position (state) of a training run that had these losses so far."""
    position = Position(step=len(losses))
    for step, nats in enumerate(losses, start=1):
        watch_step(position, step, nats, 1.0, UNIFORM)
    return position


@pytest.mark.parametrize(("nats", "norm"), [(math.nan, 1.0), (13.0, 1.0), (1.0, math.inf)])
def test_a_step_that_explodes_is_divergence(nats: float, norm: float):
    with pytest.raises(DivergedError, match=r"^9: "):
        watch_step(after(FALLING[:8]), 9, nats, norm, UNIFORM)


def test_a_run_that_forgets_what_it_learnt_has_diverged():
    with pytest.raises(DivergedError, match=r"^700: 3 nats per token .* best was 1\.6"):
        watch_validation(after(FALLING + RISING), 3.0, 1.6, UNIFORM)


def test_a_run_that_forgets_nearly_everything_has_diverged_before_the_next_validation():
    collapse = [1.5 + 0.02 * step for step in range(140)]
    with pytest.raises(DivergedError, match=r"^5\d\d: 3\.\d+ nats per token in recent steps"):
        after(FALLING + collapse)


def test_overfitting_or_a_change_of_text_is_not_divergence():
    watch_validation(after(FALLING), 3.0, 1.6, UNIFORM)
    watch_validation(after(FALLING + RISING), 1.7, 1.6, UNIFORM)
    watch_validation(after(FALLING + RISING), 3.0, math.inf, UNIFORM)


def test_a_position_with_rising_losses_or_no_better_than_chance_is_not_good():
    assert is_good(after(FALLING), 1.6, UNIFORM)
    assert is_good(after([*FALLING, 4.0, 4.0, 4.0]), 1.6, UNIFORM)
    assert not is_good(after(FALLING), UNIFORM, UNIFORM)
    assert not is_good(after([*FALLING, *[2.5] * 30]), 1.6, UNIFORM)
