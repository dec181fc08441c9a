"""Progress reports of long computations: one frozen value, passed to one callable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """The progress of a long computation at one moment.

    Attributes:
        done: Number of units finished so far, out of `total`.
        total: Number of units of the whole computation.
        unit: What is counted: tokens, texts, documents, seconds.
        note: A few words for the user, such as `2.31 bits/character`.
        step: Optimizer steps taken so far, in training; 0 in other computations.
        metrics: Figures by name, with the unit in the name; empty when there is nothing new.
        sample: In training, a text that the model has just written; usually empty.
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
