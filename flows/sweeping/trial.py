"""A trial of a sweep: one training run with particular values of the varied settings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["running", "done", "pruned", "failed"]


class Trial(BaseModel):
    """A training run with particular values of the varied settings, and its outcome so far.

    Attributes:
        number: Number of the trial, counted from 1.
        values: Value of each varied setting, by key such as `model.hidden_size`.
        settings: The same values as `key=value` strings, which the option `--set` accepts.
        title: The same values in short form, such as `hidden 256 · lr 0.003`.
        state: `running`; `done` if it was trained to the end of its budget; `pruned` if it was
            ended early because other trials were better; `failed` if training diverged or was
            impossible.
        validations: Bits per character on the validation split, by number of the validation,
            counted from 1 up to `training.validations` at the end of the budget.
        bits_per_character: Best validation score if the trial is done, else the last one; None if
            there was no validation.
        why: Why the trial ended early, in a few words; empty otherwise.
        step: Number of optimizer steps; if the trial is not done, up to its last validation.
        seconds: Training time in seconds; if the trial is not done, up to its last validation.
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
    """Return the best of the trials that were trained to completion; None if there is none.

    If several trials have the same score, the first is returned.
    """
    done = [t for t in trials if t.state == "done" and t.bits_per_character is not None]
    return min(done, key=lambda t: (t.bits_per_character, t.number), default=None)
