"""The training loop: windows in, the checkpoint that was best on validation out.

A run can stop at any step and go on later: `last.safetensors` holds everything that decides the
future, so that on one machine a resumed run ends with the same bits as one that never stopped.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from rnnlm import checkpoint, dataset
from rnnlm.batching import Window, windows
from rnnlm.config import Experiment, TrainingConfig, parse_budget
from rnnlm.errors import CheckpointError, ConfigError, DivergenceError
from rnnlm.evaluation import evaluate
from rnnlm.models import LanguageModel, State, build, detach_state
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import append_line, file_digest, write_bytes

BEST_FILE = "best.safetensors"
LAST_FILE = "last.safetensors"
HISTORY_FILE = "history.jsonl"
HISTORY_ROWS = 200
"""Rows of metrics that a run's history aims at."""
MOST_VALIDATION = 0.2
"""Share of a budget of seconds that validation may take, but for the last one."""
SAVE_SECONDS = 15.0
"""Most seconds of training that a killed process loses."""


class TrainedModel(BaseModel):
    """What training made.

    Attributes:
        uri: Folder that holds the checkpoint and the history.
        checkpoint: Path of the checkpoint that was best on validation.
        digest: sha256 of that file.
        parameters: Trained numbers.
        step: Optimizer steps taken in all.
        best_step: The step of the checkpoint.
        tokens: Tokens trained on, each epoch counted.
        validation_bits_per_character: The checkpoint's score on the validation split.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    checkpoint: str
    digest: str
    parameters: int
    step: int
    best_step: int
    tokens: int
    validation_bits_per_character: float


@dataclass
class Position:
    """Where a run stands; everything here is saved. Mutated by the loop."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    epoch: int = 0
    window: int = 0
    validations: int = 0
    rows: int = 0
    best_nll_nats: float = math.inf
    best_step: int = 0
    best_digest: str = ""
    best_bits_per_character: float = math.inf
    worse_in_a_row: int = 0
    interval_nll_nats: float = 0.0
    interval_tokens: int = 0


def train(
    tokens_uri: str, experiment: Experiment, out: Path, on_progress: OnProgress = silent
) -> TrainedModel:
    """Train a model on the shards in `tokens_uri`, or go on where an earlier call stopped.

    Args:
        tokens_uri: Folder that `tokenize` wrote.
        experiment: Its `model` and `training` sections decide.
        out: Folder for the checkpoints and the history. A position found there is continued.
        on_progress: Told after every step; `metrics` is set when a row of history is complete. An
            exception it raises saves the position and passes through.

    Raises:
        DatasetError: There are no shards.
        CheckpointError: The position in `out` is torn or of another model.
        DivergenceError: The loss left the finite numbers.
        StorageError: A checkpoint cannot be written.
    """
    run = _Run(tokens_uri, experiment, out, on_progress)
    run.loop()
    position = run.position
    return TrainedModel(
        uri=str(out),
        checkpoint=str(out / BEST_FILE),
        digest=file_digest(out / BEST_FILE),
        parameters=run.model.parameter_count,
        step=position.step,
        best_step=position.best_step,
        tokens=position.tokens,
        validation_bits_per_character=position.best_bits_per_character,
    )


def read_history(uri: str) -> list[dict[str, float]]:
    """Return the rows of metrics of a run, oldest first; each has `step` and `tokens`."""
    path = Path(uri) / HISTORY_FILE
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # a line that a full disk or a power cut left torn
            break
    return rows


def learning_rate(config: TrainingConfig, share: float) -> float:
    """Return the learning rate when `share` of the budget is spent.

    A linear climb, then half a cosine down to a hundredth of the peak.
    Source: Loshchilov and Hutter 2017 (SGDR), one cycle.
    """
    if share < config.warmup:
        return config.learning_rate * max(share / config.warmup, 0.01)
    fall = (min(share, 1.0) - config.warmup) / (1.0 - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * fall)))


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` names on this machine.

    Raises:
        ConfigError: That GPU is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"training.device = {name!r}, but torch sees {torch.cuda.device_count()} GPUs here; "
            "say training.device=auto"
        )
    return device


class _Run:
    """One training run in memory; `loop` is the story, the rest its parts."""

    def __init__(
        self, tokens_uri: str, experiment: Experiment, out: Path, on_progress: OnProgress
    ) -> None:
        self.experiment, self.out, self.on_progress = experiment, out, on_progress
        self.config = experiment.training
        self.tokenizer = dataset.load_tokenizer(tokens_uri)
        self.train_split = dataset.load_split(tokens_uri, "train")
        validation = dataset.load_split(tokens_uri, "validation")
        self.validation_split = validation.first(self.config.validation_tokens)
        self.budget = parse_budget(self.config.budget)
        self.device = choose_device(self.config.device)
        torch.manual_seed(self.config.seed)
        self.model = build(experiment.model, self.tokenizer.vocab_size).to(self.device)
        self.optimizer = _optimizer(self.model, self.config)
        self.position = Position()
        self.state: State | None = None
        self._resume()
        self.began = time.monotonic() - self.position.seconds
        self.validation_seconds = 0.0
        self.saved_at = time.monotonic()

    def loop(self) -> None:
        position = self.position
        while not self._is_over():
            for window in self._epoch_windows():
                self._step(window)
                position.window += 1
                position.seconds = time.monotonic() - self.began
                row = self._history_row()
                self._report(row)
                if self._is_over():
                    break
            else:
                position.epoch, position.window, self.state = position.epoch + 1, 0, None
        self._save_position()

    def _epoch_windows(self) -> Iterator[Window]:
        """Yield the epoch's windows from the position on; their order depends on seed and epoch."""
        order = np.random.default_rng([self.config.seed, self.position.epoch])
        epoch = windows(
            self.train_split, self.config.feed, self.config.batch_size, self.config.bptt, order
        )
        return islice(epoch, self.position.window, None)

    def _step(self, batch: Window) -> None:
        position, window = self.position, batch.to(self.device)
        self.model.train()
        state = self.state or self.model.initial_state(len(window.fresh))
        if state[0].shape[1] != len(window.fresh):
            state = self.model.initial_state(len(window.fresh))
        rate = learning_rate(self.config, self._share())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        state = self.model.reset_state(detach_state(state), window.fresh)
        logits, self.state = self.model(window.inputs, state)
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), window.targets.flatten(), reduction="none"
        )
        tokens = batch.tokens
        loss = (losses * window.mask.flatten()).sum() / tokens
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        nll_nats = loss.item()
        if not (math.isfinite(nll_nats) and torch.isfinite(norm)):
            raise DivergenceError(
                f"training diverged at step {position.step + 1}: loss {nll_nats}, gradient norm "
                f"{norm.item()} (expected finite numbers); lower training.learning_rate "
                f"({self.config.learning_rate:g}) or training.gradient_clip"
            )
        self.optimizer.step()
        self.gradient_norm, self.rate = norm.item(), rate
        position.step += 1
        position.tokens += tokens
        position.interval_tokens += tokens
        position.interval_nll_nats += nll_nats * tokens

    def _history_row(self) -> dict[str, float]:
        """Return a row of metrics when one is due, else nothing; may score and save the best."""
        position, share = self.position, self._share()
        validate = share >= 1.0 or self._validation_is_due(share)
        if not (validate or share * HISTORY_ROWS >= position.rows + 1):
            return {}
        position.rows = int(share * HISTORY_ROWS)
        row = {
            "step": position.step,
            "tokens": position.tokens,
            "seconds": position.seconds,
            "train/nll_nats_per_token": position.interval_nll_nats
            / max(1, position.interval_tokens),
            "train/learning_rate": self.rate,
            "train/gradient_norm": self.gradient_norm,
            "train/tokens_per_second": position.tokens / max(position.seconds, 1e-9),
        }
        position.interval_nll_nats, position.interval_tokens = 0.0, 0
        if validate:
            position.validations = int(share * self.config.validations)
            row.update(self._validate())
        append_line(self.out / HISTORY_FILE, json.dumps(row))
        return row

    def _validation_is_due(self, share: float) -> bool:
        """Return whether to validate; under a budget of seconds, not at the cost of training."""
        position = self.position
        if share * self.config.validations < position.validations + 1:
            return False
        unhurried = self.validation_seconds < MOST_VALIDATION * position.seconds
        return self.budget.unit != "seconds" or unhurried

    def _validate(self) -> dict[str, float]:
        position, began = self.position, time.monotonic()
        score = evaluate(self.model, self.validation_split).score
        self.validation_seconds += time.monotonic() - began
        if score.nll_nats < position.best_nll_nats:
            position.best_nll_nats = score.nll_nats
            position.best_bits_per_character = score.bits_per_character
            position.best_step = position.step
            position.worse_in_a_row = 0
            facts = {"step": position.step, "tokens": position.tokens, **score.figures()}
            path = self.out / BEST_FILE
            checkpoint.save(path, self.model, self.tokenizer, self.experiment, facts)
            position.best_digest = file_digest(path)
        else:
            position.worse_in_a_row += 1
        return {
            "validation/nll_nats_per_token": score.nll_nats_per_token,
            "validation/bits_per_character": score.bits_per_character,
            "validation/perplexity": score.perplexity,
        }

    def _report(self, row: dict[str, float]) -> None:
        position = self.position
        if time.monotonic() - self.saved_at > SAVE_SECONDS:
            self._save_position()
        best = position.best_bits_per_character
        note = f"validation {best:.3f} bits/character" if math.isfinite(best) else ""
        total = self._total()
        done = position.seconds if self.budget.unit == "seconds" else position.tokens
        unit = "seconds" if self.budget.unit == "seconds" else "tokens"
        try:
            self.on_progress(Progress(min(done, total), total, unit, note, position.step, row))
        except BaseException:
            self._save_position()
            raise

    def _total(self) -> float:
        if self.budget.unit == "epochs":
            return self.budget.amount * len(self.train_split.tokens)
        return self.budget.amount

    def _share(self) -> float:
        done = self.position.seconds if self.budget.unit == "seconds" else self.position.tokens
        return done / self._total()

    def _is_over(self) -> bool:
        return self._share() >= 1.0 or self.position.worse_in_a_row >= self.config.patience

    def _save_position(self) -> None:
        extra = {
            f"optimizer.{index}.{name}": value
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        extra["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            extra["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        for index, part in enumerate(self.state or ()):
            extra[f"state.{index}"] = part
        checkpoint.save(
            self.out / LAST_FILE,
            self.model,
            self.tokenizer,
            self.experiment,
            self.position.__dict__,
            extra,
        )
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        """Take up the position in `out`, if there is one, and cut the history back to it."""
        path = self.out / LAST_FILE
        if not path.is_file():
            (self.out / HISTORY_FILE).unlink(missing_ok=True)
            return
        tensors, facts = checkpoint.load_tensors(path)
        position = Position(**facts)
        best = self.out / BEST_FILE
        if position.best_step and not (best.is_file() and _is_later_or_same(best, position)):
            write_bytes(self.out / HISTORY_FILE, b"")  # the best is gone: from the beginning
            return
        checkpoint.load_weights(self.model, tensors, path)
        self.position = position
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        torch.set_rng_state(tensors["rng.cpu"])
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        parts = [tensors[name] for name in sorted(tensors) if name.startswith("state.")]
        self.state = tuple(part.to(self.device) for part in parts) or None
        kept = [row for row in read_history(str(self.out)) if row["step"] <= self.position.step]
        write_bytes(
            self.out / HISTORY_FILE, "".join(json.dumps(row) + "\n" for row in kept).encode()
        )


def _is_later_or_same(best: Path, position: Position) -> bool:
    """Tell whether the best checkpoint on disk is the position's, or of a step after it.

    It is later where the process was killed between the two files; the steps up to it are run
    again and write it again.
    """
    if file_digest(best) == position.best_digest:
        return True
    try:
        return bool(checkpoint.load_tensors(best)[1]["step"] > position.step)
    except CheckpointError:
        return False


def _optimizer(model: LanguageModel, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices and leaves biases alone (Loshchilov and Hutter 2019)."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)
