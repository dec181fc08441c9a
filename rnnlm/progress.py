"""Progress reports of long computations: one frozen value, passed to one callable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a long computation is.

    Attributes:
        done: Units finished so far, of `total`.
        total: Units in all.
        unit: What is counted: tokens, texts, documents, seconds.
        note: A few words for the user, such as `2.31 bits/character`.
        step: Optimizer steps taken, for training; 0 elsewhere.
        metrics: Figures by name, unit in the name; empty when there is nothing new.
        sample: A text that the model just wrote, for training; usually empty.
    """

    done: float
    total: float
    unit: str
    note: str = ""
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    sample: str = ""


OnProgress = Callable[[Progress], None]
"""Called at points where it is safe to stop; an exception it raises ends the computation cleanly.
"""


def silent(progress: Progress) -> None:
    """Do nothing; the default `on_progress`."""
