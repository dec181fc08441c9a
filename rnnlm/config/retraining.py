"""Settings of the gate that a new version must pass, and of training on a corpus again."""

from typing import Literal

from pydantic import Field

from rnnlm.config.strict import Config


class GateConfig(Config):
    """Conditions for a version to become the champion; otherwise it is a challenger."""

    level: float = Field(default=0.95, ge=0.5, lt=1.0)
    """Confidence required that the version predicts better than the champion and the n-grams: the
    share of the paired bootstrap's resamples of the test documents in which it does."""
    beat_ngrams: bool = True
    """Whether the version must predict the test split better than the n-gram model."""
    valid_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Smallest share of the version's texts that must match `corpus.form`."""
    copied_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest share of the version's texts that may occur verbatim in the training split."""
    forgotten_bits: float = Field(default=0.25, ge=0.0)
    """Bits per character by which the version may predict the test documents of the champion's own
    corpus worse than the champion does, if the corpus has changed since. This catches a corpus that
    turns into garbage: a model of garbage predicts it easily, but has forgotten everything else."""


Event = Literal["failed", "champion", "worse"]


class RetrainingConfig(Config):
    """How to train on a corpus again, and which events to report."""

    start: Literal["champion", "nothing"] = "champion"
    """Weights to start from if the corpus has changed, but network, vocabulary and attributes have
    not: the champion's; or, for `nothing`, those of `training.base` or random ones."""
    compare_minutes: float = Field(default=10.0, ge=0.0)
    """If training from the champion's weights took no longer than this, also train from random
    weights and keep the model with the better validation score; 0 for never."""
    notify: tuple[Event, ...] = ("failed", "champion", "worse")
    """Events to report to the addresses in `RNNLM_NOTIFY` (or Prefect's secret `rnnlm-notify`): a
    failed run, a new champion, a champion that predicts fresh text worse than its test split."""
    worse_bits: float = Field(default=0.1, ge=0.0)
    """Bits per character by which a champion must predict fresh text worse than its test split to
    be reported as worse."""
