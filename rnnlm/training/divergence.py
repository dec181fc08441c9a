"""Rules that decide whether a training run has diverged, and where it may resume after that.

A run that diverged returns to an earlier saved position (weights, optimizer state and counters)
that was marked as good by `is_good`. Losses are compared with that of a uniform guess over the
vocabulary, ln |V| nats per token.
"""

import math

from rnnlm.training.run_state import Position

EXPLOSION = 3.0
"""A run has diverged if the loss of one step reaches this multiple of a uniform guess's loss."""
RISE = 0.2
"""Rise of the loss that counts as divergence, as a share of the loss of a uniform guess.

A run has diverged if two losses have both risen by more than this: the validation loss, compared
with the best one so far, and the mean training loss of recent steps, compared with its lowest value
so far. One of the two is not enough: the validation loss alone also rises when a model memorises
its training text, and the training loss alone also rises when harder text follows.
"""
COLLAPSE = 0.4
"""Rise of the recent mean of the training loss that alone counts as divergence, as a share of the
loss of a uniform guess. No change of text makes the loss rise that much, and waiting for the next
validation may take a fifth of the budget."""
RECENT_STEPS = 50
"""Approximate number of steps that the running mean of the training loss covers."""


class DivergedError(Exception):
    """The loss or the gradient has become so large that training cannot continue from here."""


def watch_step(
    position: Position, step: int, nats: float, gradient_norm: float, uniform_nats: float
) -> None:
    """Record the loss of a step, and check it for divergence.

    Args:
        position: Counters of the run; its `recent_nats` and `lowest_recent_nats` are updated.
        step: Number of the step, from 1.
        nats: Loss of the step, in nats per token.
        gradient_norm: Norm of the gradient before clipping.
        uniform_nats: Loss of a uniform guess, in nats per token.

    Raises:
        DivergedError: The loss is NaN or far too high, or has risen by more than `COLLAPSE`; or the
            gradient is not finite.
    """
    if not (nats < EXPLOSION * uniform_nats and math.isfinite(gradient_norm)):
        raise DivergedError(
            f"{step:,}: {nats:.4g} nats per token, gradient norm {gradient_norm:.4g}"
        )
    position.recent_nats += max(1 / step, 1 / RECENT_STEPS) * (nats - position.recent_nats)
    if step >= RECENT_STEPS:
        position.lowest_recent_nats = min(position.lowest_recent_nats, position.recent_nats)
        if _rise(position) > COLLAPSE * uniform_nats:
            raise DivergedError(
                f"{step:,}: {position.recent_nats:.4g} nats per token in recent steps, best was "
                f"{position.lowest_recent_nats:.4g}"
            )


def watch_validation(
    position: Position, nats: float, best_nats: float, uniform_nats: float
) -> None:
    """Check a new validation loss for divergence; see `RISE`.

    Args:
        position: Counters of the run; not changed.
        nats: New validation loss, in nats per token.
        best_nats: Lowest validation loss so far, in nats per token.
        uniform_nats: Loss of a uniform guess, in nats per token.

    Raises:
        DivergedError: Both the validation loss and the recent training loss have risen by more than
            `RISE`, so the model is losing what it had learnt.
    """
    if min(nats - best_nats, _rise(position)) > RISE * uniform_nats:
        raise DivergedError(
            f"{position.step:,}: {nats:.4g} nats per token of the validation split, best was "
            f"{best_nats:.4g}"
        )


def is_good(position: Position, validation_nats: float, uniform_nats: float) -> bool:
    """Return whether a run may return to this position after a divergence.

    Args:
        position: Counters of the run, just after a validation with the best score so far.
        validation_nats: Loss of that validation, in nats per token.
        uniform_nats: Loss of a uniform guess, in nats per token.
    """
    return validation_nats < uniform_nats and _rise(position) < RISE * uniform_nats / 2


def _rise(position: Position) -> float:
    """Return how far the recent mean of the training loss is above its lowest value, in nats.

    The result is −∞ until `RECENT_STEPS` steps are done, because no lowest value is recorded yet.
    """
    return position.recent_nats - position.lowest_recent_nats
