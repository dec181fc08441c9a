"""A trial of a sweep: a point of the space, and its outcome."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["running", "done", "pruned", "failed"]


class Trial(BaseModel):
    """A point that was tried, or is being tried.

    Attributes:
        number: Number of the trial, counted from 1.
        values: Values of the swept keys.
        settings: The values in the format of `--set`.
        title: The values in short form.
        state: `running`; `done`, trained to the end of its budget; `pruned`, ended early because
            other trials were better; or `failed`, because it diverged or could not be trained.
        validations: Bits per character of the validation split, by the number of validations that
            were due by then, of those of the whole budget.
        bits_per_character: Best validation if the trial is done, else the last one; None if there
            was none.
        why: Why the trial ended early, in a few words; empty otherwise.
        step: Number of optimizer steps; if the trial is not done, up to its last validation.
        seconds: Training time in seconds, counted in the same way.
        checkpoint: sha256 of its checkpoint; empty if there is none.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    values: dict[str, bool | int | float | str]
    settings: tuple[str, ...]
    title: str
    state: State = "running"
    validations: dict[int, float] = {}
    bits_per_character: float | None = None
    why: str = ""
    step: int = 0
    seconds: float = 0.0
    checkpoint: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the trial has ended."""
        return self.state != "running"


def best_of(trials: list[Trial]) -> Trial | None:
    """Return the best trial trained to completion, the first of equals; None if there is none."""
    done = [t for t in trials if t.state == "done" and t.bits_per_character is not None]
    return min(done, key=lambda t: (t.bits_per_character, t.number), default=None)
