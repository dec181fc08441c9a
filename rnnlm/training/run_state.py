"""The state of a run, in memory and on disk: everything that determines how it continues.

It holds no random generator: randomness in a step depends only on seed, step and process.
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
from rnnlm.models import LanguageModel, State
from rnnlm.tokenizer import Tokenizer
from rnnlm.training.optimizing import WeightAverage

MAY_CHANGE = ("device", "processes")
"""Settings that may change when a run is resumed."""


NO_BEST = (math.inf, math.inf, 0, "")
"""`Position.best` before the first validation, or if the best checkpoint's file does not match."""


@dataclass
class Position:
    """The counters and figures of a run; all are saved. Mutated by the training loop.

    Attributes:
        step: Optimizer steps taken.
        tokens: Tokens trained on; every epoch counts.
        seconds: Seconds spent so far, including earlier processes.
        epoch: Complete passes over the training split.
        window: Windows of this epoch that are done.
        validations: Validations that have been due so far.
        rows: Rows of history that have been due so far.
        best_nll_nats: Lowest loss on the validation split so far, summed over its tokens.
        best_bits_per_character: Bits per character of that validation.
        best_step: Step of the best checkpoint.
        best_digest: sha256 of the best checkpoint.
        worse_in_a_row: Validations since the best one.
        recent_nats: Running mean of the training loss over recent steps, per token.
        lowest_recent_nats: Lowest value of `recent_nats` so far.
        interval_nll_nats: Training loss since the last row of history.
        interval_tokens: Tokens since the last row of history.
        rate_factor: Factor on the learning rate that plateaus and recoveries have led to.
        recoveries: Times the run diverged and returned to an earlier position.
        averaged_steps: Steps in the weights' average.
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
        """All figures of the best checkpoint, which is stored in a separate file."""
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
    """Everything that training changes; it is saved and restored together.

    Attributes:
        model: The network.
        optimizer: The optimizer, whose moments are saved.
        average: The average of the weights.
        state: Recurrent state of the lanes; None at the start of an epoch.
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
    """Write a position, completely or not at all.

    Args:
        path: File to write.
        run: Run to save.
        state: State of all lanes; `run.state` may be only the share of this process.
        tokenizer: Tokenizer for the checkpoint's header.
        experiment: Experiment for the checkpoint's header.
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
        CheckpointError: The file is damaged, or holds no position.
    """
    return _position(path, checkpoint.load_facts(path))


def _position(path: Path, facts: Mapping[str, Any]) -> Position:
    try:
        return Position(**facts)
    except TypeError as error:
        raise CheckpointError(
            f"{path} holds no saved training position ({error}); delete it and train again"
        ) from error


def check_same_run(path: Path, experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Check that a saved position has the same model, training setup and vocabulary.

    Raises:
        CheckpointError: The position belongs to another run; the message names the differences.
    """
    before, vocabulary = checkpoint.load_description(path)
    changes = [
        f"{section}.{key} {old} → {getattr(getattr(experiment, section), key)}"
        for section in ("model", "training")
        for key, old in getattr(before, section)
        if old != getattr(getattr(experiment, section), key) and key not in MAY_CHANGE
    ]
    if vocabulary.to_json() != tokenizer.to_json():
        changes.append("the vocabulary differs")
    if changes:
        raise CheckpointError(
            f"{path} belongs to another run: {', '.join(changes[:3])}; train in another folder, or "
            "delete this one to start again"
        )


def restore(path: Path, run: Run) -> None:
    """Load a saved position into `run`, which is mutated; `run.state` becomes that of all lanes.

    Raises:
        CheckpointError: The file is damaged, or belongs to another model.
    """
    tensors, facts = checkpoint.load_tensors(path)
    run.position = _position(path, facts)
    checkpoint.load_weights(run.model, tensors, path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, key = name.split(".")
        moments.setdefault(int(index), {})[key] = value
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    run.average.load(_under("average.", tensors), run.position.averaged_steps)
    device = run.model.device
    parts = _under("state.", tensors)
    run.state = tuple(parts[name].to(device) for name in sorted(parts)) or None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
