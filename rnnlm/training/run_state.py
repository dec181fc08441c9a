"""Where a run stands, in memory and on disk: all that decides what comes next.

No random generator is among it: what is random in a step depends on seed, step and process alone.
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
"""Settings that a run may go on with others."""


NO_BEST = (math.inf, math.inf, 0, "")
"""`Position.best` before the first validation, and where its file is another's."""


@dataclass
class Position:
    """The numbers of a run; all are saved. Mutated by the loop.

    Attributes:
        step: Optimizer steps taken.
        tokens: Tokens trained on, each epoch counted.
        seconds: Spent so far, earlier processes included.
        epoch: Readings of the training split that are complete.
        window: Windows of this epoch that are done.
        validations: Validations that were due.
        rows: Rows of history that were due.
        best_nll_nats: Of the validation split.
        best_bits_per_character: Of the validation split.
        best_step: Step of the best checkpoint.
        best_digest: sha256 of the best checkpoint.
        worse_in_a_row: Validations since the best.
        recent_nats: Running mean of the training loss of the last steps, per token.
        lowest_recent_nats: The lowest that it was.
        interval_nll_nats: Training loss since the last row of history.
        interval_tokens: Tokens since the last row of history.
        rate_factor: What plateaus and recoveries have multiplied the learning rate by.
        recoveries: Times the run went back after it diverged.
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
        """All that is known of the best checkpoint; it lies in a file of its own."""
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
    """What training changes: everything here is saved together and restored together.

    Attributes:
        model: The network.
        optimizer: Its moments are saved.
        average: The average of the weights.
        state: What each lane remembers; None at the start of an epoch.
        position: The numbers.
    """

    model: LanguageModel
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    state: State | None
    position: Position


def save(
    path: Path, run: Run, state: State | None, tokenizer: Tokenizer, experiment: Experiment
) -> None:
    """Write a position, whole or not at all.

    Args:
        path: The file.
        run: What to save.
        state: That of all lanes, where `run.state` is a process's share of it.
        tokenizer: For the checkpoint's header.
        experiment: For the checkpoint's header.
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
    """Return the numbers of a saved position.

    Raises:
        CheckpointError: The file is torn, or holds no position.
    """
    return _position(path, checkpoint.load_facts(path))


def _position(path: Path, facts: Mapping[str, Any]) -> Position:
    try:
        return Position(**facts)
    except TypeError as error:
        raise CheckpointError(
            f"{path} holds no position of a training ({error}); delete it and train again"
        ) from error


def check_same_run(path: Path, experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Refuse a saved position of another model, way of training or vocabulary.

    Raises:
        CheckpointError: It is of another; the message says in what.
    """
    before, vocabulary = checkpoint.load_description(path)
    changes = [
        f"{section}.{key} {old} → {getattr(getattr(experiment, section), key)}"
        for section in ("model", "training")
        for key, old in getattr(before, section)
        if old != getattr(getattr(experiment, section), key) and key not in MAY_CHANGE
    ]
    if vocabulary.to_json() != tokenizer.to_json():
        changes.append("another vocabulary")
    if changes:
        raise CheckpointError(
            f"{path} is of another run: {', '.join(changes[:3])}; train in another folder, or "
            "delete this one to begin anew"
        )


def restore(path: Path, run: Run) -> None:
    """Put a saved position into `run`, which is mutated; `run.state` is that of all lanes.

    Raises:
        CheckpointError: The file is torn, or of another model.
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
