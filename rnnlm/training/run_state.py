"""The state of a training run in memory, and its saved form, a *position*.

A position is a checkpoint file with everything that determines how training continues: the weights,
the moments of the optimizer, the average of the weights, the recurrent state, and the counters and
figures in `Position`. It needs no state of a random generator, because the random numbers of a step
depend only on the seed, the step and the rank of the process.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnlm import checkpoint
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError
from rnnlm.header import load_description, load_facts
from rnnlm.models import LanguageModel, State
from rnnlm.saved import checked
from rnnlm.tokenizer import Tokenizer
from rnnlm.training.optimizing import WeightAverage

MAY_CHANGE = ("device", "processes", "reduce_precision")
"""Settings in the section `training` that may change when a run is resumed."""


NO_BEST = (math.inf, math.inf, 0, "")
"""`Position.best` before the first validation, or if the best checkpoint's file does not match."""


@dataclass
class Position:
    """The counters and figures of a training run, all of which are saved with its position.

    The training loop updates them in place.

    Attributes:
        step: Optimizer steps taken.
        tokens: Tokens trained on; a token is counted again in every epoch.
        seconds: Seconds spent so far, including earlier processes that this one resumed.
        epoch: Complete passes over the training split.
        window: Number of windows (the tokens of one step each) of the current epoch that are done.
        validations: Number of validations that have become due so far, including skipped ones.
        rows: Number of rows of history that have become due so far, including skipped ones.
        best_nll_nats: Lowest loss on the validation split so far, summed over its tokens.
        best_bits_per_character: The same loss in bits per character.
        best_step: Step at which that loss was measured and the best checkpoint was saved.
        best_digest: sha256 of the best checkpoint's file; empty if there is none.
        worse_in_a_row: Validations since the best one.
        recent_nats: Running mean of the training loss over recent steps, in nats per token.
        lowest_recent_nats: Lowest value of `recent_nats` so far.
        interval_nll_nats: Training loss since the last row of history, summed over its tokens.
        interval_tokens: Tokens trained on since the last row of history.
        rate_factor: Factor on the scheduled learning rate. It is lowered after a divergence and, if
            `training.schedule` is `plateau`, after a validation that is not the best.
        recoveries: Number of times the run diverged and returned to an earlier position.
        averaged_steps: Number of steps that the average of the weights includes.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    epoch: int = 0
    window: int = 0
    validations: int = 0
    rows: int = 0
    best_nll_nats: float = math.inf
    best_bits_per_character: float = math.inf
    best_step: int = 0
    best_digest: str = ""
    worse_in_a_row: int = 0
    recent_nats: float = 0.0
    lowest_recent_nats: float = math.inf
    interval_nll_nats: float = 0.0
    interval_tokens: int = 0
    rate_factor: float = 1.0
    recoveries: int = 0
    averaged_steps: int = 0

    @property
    def best(self) -> tuple[float, float, int, str]:
        """Loss in nats and in bits per character, step, and sha256 of the best checkpoint."""
        return (
            self.best_nll_nats,
            self.best_bits_per_character,
            self.best_step,
            self.best_digest,
        )

    @best.setter
    def best(self, best: tuple[float, float, int, str]) -> None:
        (
            self.best_nll_nats,
            self.best_bits_per_character,
            self.best_step,
            self.best_digest,
        ) = best


@dataclass
class Run:
    """Everything that training changes, in memory; a saved position holds all of it.

    Attributes:
        model: The network.
        optimizer: The optimizer; its moments are saved.
        average: The running average of the weights.
        state: Recurrent state of the lanes (the sequences in the batch) that this process trains
            on; None at the start of an epoch.
        position: The counters and figures.
    """

    model: LanguageModel
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    state: State | None
    position: Position


def save(
    path: Path, run: Run, state: State | None, tokenizer: Tokenizer, experiment: Experiment
) -> None:
    """Save a run as a position; if it fails, an earlier file stays as it was.

    Args:
        path: File to write.
        run: Run to save.
        state: Recurrent state of the lanes of all processes; it is saved instead of `run.state`,
            which holds only the lanes of this process.
        tokenizer: Tokenizer to store in the file's metadata.
        experiment: Experiment to store in the file's metadata.
    """
    extra = {
        f"optimizer.{index}.{name}": value
        for index, values in run.optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    extra |= {f"average.{name}": value for name, value in run.average.weights.items()}
    extra |= {f"state.{index:03d}": part for index, part in enumerate(state or ())}
    run.position.averaged_steps = run.average.steps
    checkpoint.save(path, run.model, tokenizer, experiment, asdict(run.position), extra)


def read(path: Path) -> Position:
    """Return the counters and figures of a saved position.

    Raises:
        CheckpointError: The file is damaged, or is not a saved position.
    """
    return _position(path, load_facts(path))


def fault_of(path: Path) -> str | None:
    """Return why a file cannot be read as a checkpoint, in one line; None if it is intact."""
    try:
        checkpoint.load_tensors(path)
    except CheckpointError as error:
        return str(error)
    return None


def _position(path: Path, facts: Mapping[str, Any]) -> Position:
    try:
        position: Position = checked({**asdict(Position(**facts))}, Position)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no saved training position ({error}); delete it and train again"
        ) from error
    return position


def check_same_run(path: Path, experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise an error unless a saved position can be resumed with this experiment and tokenizer.

    The settings of the model and of training must be the same, except those in `MAY_CHANGE`, and so
    must the vocabulary.

    Raises:
        CheckpointError: The position belongs to another run; the message names the differences.
    """
    found = load_description(path)
    changes = [
        f"{section}.{key} {old} → {getattr(getattr(experiment, section), key)}"
        for section in ("model", "training")
        for key, old in getattr(found.experiment, section)
        if old != getattr(getattr(experiment, section), key) and key not in MAY_CHANGE
    ]
    if found.tokenizer.to_json() != tokenizer.to_json():
        changes.append("the vocabulary differs")
    if changes:
        raise CheckpointError(
            f"{path} belongs to another run: {', '.join(changes[:3])}; train in another folder, or "
            "delete this one to start again"
        )


def restore(path: Path, run: Run) -> None:
    """Load a saved position into `run`, which is updated in place.

    `run.state` becomes the recurrent state of the lanes of all processes.

    Raises:
        CheckpointError: The file is damaged, or belongs to another model.
    """
    tensors, facts = checkpoint.load_tensors(path)
    run.position = _position(path, facts)
    checkpoint.load_weights(run.model, tensors, path)
    try:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        run.average.load(_under("average.", tensors), run.position.averaged_steps)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds the optimizer of another run ({error}); delete it and train again"
        ) from error
    device = run.model.device
    parts = _under("state.", tensors)
    run.state = tuple(parts[name].to(device) for name in sorted(parts)) or None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def is_later(best: Path, position: Position) -> bool:
    """Return whether the best checkpoint on disk was saved at a later step than the position.

    This happens if the process was killed after it wrote the checkpoint and before it saved its
    position. The resumed run repeats the steps in between and writes the checkpoint again.
    """
    try:
        return bool(int(load_facts(best)["step"]) > position.step)
    except (CheckpointError, KeyError, TypeError, ValueError):
        return False
