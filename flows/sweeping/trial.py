"""A trial of a sweep: a point of its space, and what came of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["running", "done", "pruned", "failed"]


class Trial(BaseModel):
    """A point that was tried, or is being tried.

    Attributes:
        number: Counted from 1.
        values: Of the swept keys.
        settings: The same, as `--set` takes them.
        title: The same, in a few characters.
        state: `done` to the end of its budget; `pruned` before, as there was better; or `failed`,
            as it diverged or cannot be trained.
        validations: Bits per character of the validation split, by how many of the validations of
            the whole budget were due by then.
        bits_per_character: Of the best validation of one that is done, the last of another; None
            for none.
        why: It did not get to the end, in a few words.
        step: Optimizer steps taken, up to its last validation unless it is done.
        seconds: Spent training, the same way.
        checkpoint: sha256 of the file it made; empty for none.
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
        """Whether it will not be trained any more."""
        return self.state != "running"


def best_of(trials: list[Trial]) -> Trial | None:
    """Return the best one that was trained to its end; the first of equals; None for none."""
    done = [t for t in trials if t.state == "done" and t.bits_per_character is not None]
    return min(done, key=lambda t: (t.bits_per_character, t.number), default=None)
