"""What a version must be to take the champion's place, and how a corpus is trained on again."""

from typing import Literal

from pydantic import Field

from rnnlm.config.base import Config


class GateConfig(Config):
    """What a version must be to become the champion; otherwise it is a challenger."""

    level: float = Field(default=0.95, ge=0.5, lt=1.0)
    """How sure it must be that it predicts better than the champion and than the n-grams: the
    share of the paired bootstrap's resamples of the test documents in which it does."""
    beat_ngrams: bool = True
    """Whether it must predict the test split better than the n-gram model."""
    valid_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least share of its texts that must be what the corpus is, by `corpus.form`."""
    copied_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest share of its texts that may stand verbatim in the training split."""
    forgotten_bits: float = Field(default=0.25, ge=0.0)
    """Bits per character by which it may predict the test documents of the champion's own corpus
    worse than the champion does, where the corpus has changed since. A corpus that turns to
    garbage is easily predicted by a model of garbage, which has forgotten all else."""


Event = Literal["failed", "champion", "worse"]


class RetrainingConfig(Config):
    """How a corpus is trained on again, and whom that is told."""

    start: Literal["champion", "nothing"] = "champion"
    """Where the corpus has changed, and network, vocabulary and attributes have not: begin from
    the champion's weights, or from nothing."""
    compare_minutes: float = Field(default=10.0, ge=0.0)
    """Where training from the champion's weights took no longer than this, also train from
    nothing, and offer what validates better; 0 for never."""
    notify: tuple[Event, ...] = ("failed", "champion", "worse")
    """What is told to the addresses in `RNNLM_NOTIFY` (or Prefect's secret `rnnlm-notify`): a run
    that failed, a new champion, a champion that predicts fresh text worse than its own."""
    worse_bits: float = Field(default=0.1, ge=0.0)
    """Bits per character on fresh text, above those on its own test split, from which a champion
    counts as worse."""
