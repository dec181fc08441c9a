"""What is taken for divergence of a run, and what for a position to return to."""

import math

from rnnlm.training.run_state import Position

EXPLOSION = 3.0
"""A step's loss so many times that of a uniform guess is divergence."""
RISE = 0.2
"""So is a validation that is worse than the best by this share of a uniform guess, while the mean
training loss of recent steps is above its lowest by as much. Either alone is not: a model that
learns its text by heart does worse on others, and a text may change."""
RECENT_STEPS = 50
"""About what the mean over recent steps remembers."""


class DivergedError(Exception):
    """The loss or the gradient left the range that training can go on from."""


def watch_step(
    position: Position, step: int, nats: float, gradient_norm: float, uniform_nats: float
) -> None:
    """Take in the loss of a step.

    Args:
        position: `recent_nats` and `lowest_recent_nats` are mutated.
        step: Its number.
        nats: Its loss, per token.
        gradient_norm: Before clipping.
        uniform_nats: The loss of a uniform guess.

    Raises:
        DivergedError: It is no number, or far too high.
    """
    if not (nats < EXPLOSION * uniform_nats and math.isfinite(gradient_norm)):
        raise DivergedError(
            f"{step:,}: {nats:.4g} nats per token, gradient norm {gradient_norm:.4g}"
        )
    position.recent_nats += max(1 / step, 1 / RECENT_STEPS) * (nats - position.recent_nats)
    if step >= RECENT_STEPS:
        position.lowest_recent_nats = min(position.lowest_recent_nats, position.recent_nats)


def watch_validation(
    position: Position, nats: float, best_nats: float, uniform_nats: float
) -> None:
    """Compare a validation with the best, both in nats per token.

    Raises:
        DivergedError: The model forgets what it had learnt.
    """
    if min(nats - best_nats, _rise(position)) > RISE * uniform_nats:
        raise DivergedError(
            f"{position.step:,}: {nats:.4g} nats per token of the validation split, best was "
            f"{best_nats:.4g}"
        )


def is_good(position: Position, validation_nats: float, uniform_nats: float) -> bool:
    """Return whether a position is one to return to after a divergence.

    Args:
        position: Just validated, as the best so far.
        validation_nats: Per token.
        uniform_nats: The loss of a uniform guess.
    """
    return validation_nats < uniform_nats and _rise(position) < RISE * uniform_nats / 2


def _rise(position: Position) -> float:
    """Return how far the recent mean is above its lowest; below 0 where that is not known yet."""
    return position.recent_nats - position.lowest_recent_nats
