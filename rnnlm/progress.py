"""How a long computation tells its caller where it stands: one frozen value, one callable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Where a long computation stands.

    Attributes:
        done: Units finished so far, of `total`.
        total: Units in all.
        unit: What is counted: tokens, texts, documents, seconds.
        note: A few words for a person, such as `2.31 bits/character`.
        step: Optimizer steps taken, for training; 0 elsewhere.
        metrics: Figures by name, unit in the name; empty when there is nothing new.
        sample: A text that the model wrote just now, for training; empty most times.
    """

    done: float
    total: float
    unit: str
    note: str = ""
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    sample: str = ""


OnProgress = Callable[[Progress], None]
"""Called at a safe point; an exception raised from it ends the computation there, cleanly."""


def silent(progress: Progress) -> None:
    """Tell nobody: the default `on_progress`."""
