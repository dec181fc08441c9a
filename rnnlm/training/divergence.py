"""When a run counts as diverged, and which positions it may return to."""

import math

from rnnlm.training.run_state import Position

EXPLOSION = 3.0
"""A step has diverged if its loss is this many times that of a uniform guess."""
RISE = 0.2
"""Rise of the loss that counts as divergence, as a share of the loss of a uniform guess.

A run has diverged if a validation is worse than the best by more than this, and the mean training
loss of recent steps is above its lowest by more than this. Either of the two alone does not count:
a model that memorises its text gets worse on other text, and the training text may change.
"""
RECENT_STEPS = 50
"""Approximate number of steps that the mean over recent steps covers."""


class DivergedError(Exception):
    """The loss or the gradient left the range from which training can continue."""


def watch_step(
    position: Position, step: int, nats: float, gradient_norm: float, uniform_nats: float
) -> None:
    """Record the loss of a step, and check it for divergence.

    Args:
        position: `recent_nats` and `lowest_recent_nats` are mutated.
        step: Number of the step.
        nats: Loss of the step, per token.
        gradient_norm: Norm of the gradient before clipping.
        uniform_nats: Loss of a uniform guess, per token.

    Raises:
        DivergedError: The loss is NaN or far too high, or the gradient is not finite.
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
    """Compare a validation loss with the best one, both in nats per token.

    Raises:
        DivergedError: The model is forgetting what it had learnt.
    """
    if min(nats - best_nats, _rise(position)) > RISE * uniform_nats:
        raise DivergedError(
            f"{position.step:,}: {nats:.4g} nats per token of the validation split, best was "
            f"{best_nats:.4g}"
        )


def is_good(position: Position, validation_nats: float, uniform_nats: float) -> bool:
    """Return whether a run may return to this position after a divergence.

    Args:
        position: Position that was just validated, with the best score so far.
        validation_nats: Validation loss, per token.
        uniform_nats: Loss of a uniform guess, per token.
    """
    return validation_nats < uniform_nats and _rise(position) < RISE * uniform_nats / 2


def _rise(position: Position) -> float:
    """Return how far the recent mean is above its lowest; −∞ while there is no lowest yet."""
    return position.recent_nats - position.lowest_recent_nats
