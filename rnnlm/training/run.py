"""The training loop of neural models, which keeps the checkpoint that scores best on validation.

Each step trains on a *window*: up to `training.batch_size` sequences of tokens, called lanes, each
with its own recurrent state.

A run can stop at any step and resume later, because it regularly saves its *position*: the weights
and everything else that determines how training continues. The files in the run's folder are

- `last.safetensors`, the latest position;
- `good.safetensors`, the position to return to if the run diverges; deleted at the end;
- `best.safetensors`, the checkpoint with the lowest validation loss.

On the same machine, with the same number of threads, a resumed run ends with exactly the same
weights as a run that was not interrupted.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm import checkpoint, dataset
from rnnlm.bases.fitting import NO_BASE
from rnnlm.bases.weights import start_from
from rnnlm.batching import Window, windows
from rnnlm.canaries import plant
from rnnlm.config import Experiment, parse_budget
from rnnlm.devices import choose_device, choose_precision, one_thread
from rnnlm.engine.drawing import write_line
from rnnlm.errors import CheckpointError, ConfigError, DivergenceError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.models.dropping import seed_dropout
from rnnlm.progress import OnProgress, Progress
from rnnlm.storage import file_digest
from rnnlm.training import run_state as positions
from rnnlm.training.backward import BackwardPass, cuda_graph
from rnnlm.training.divergence import DivergedError, is_good, watch_validation
from rnnlm.training.fitting import check_memory
from rnnlm.training.gradients import GradientSum
from rnnlm.training.group import Group, join
from rnnlm.training.growth import Growth, growth_prefixes
from rnnlm.training.history import History
from rnnlm.training.meter import Meter
from rnnlm.training.optimizing import WeightAverage, learning_rate, optimizer_of, step_of
from rnnlm.training.run_state import NO_BEST, Position, Run
from rnnlm.training.trained import BEST_FILE, GOOD_FILE, LAST_FILE
from rnnlm.training.vocabulary import sampler_of

HISTORY_ROWS = 200
"""Approximate number of rows of metrics in a run's history."""
MOST_VALIDATION = 0.2
"""Largest share of the time that validation may take if the budget is in seconds.

Further validations are skipped while it is exceeded, except the one at the end.
"""
SAVE_SECONDS = 15.0
"""Seconds between saves, and so about the most training that is lost if the process is killed."""
SAMPLE_SECONDS = 10.0
"""Seconds between two lines of sampled text in the progress reports."""
RECOVERY_FACTOR = 0.5
"""Factor on the learning rate after each divergence."""
WARM_RATE = 0.25
"""Factor on the learning rate if a run starts from trained weights but `training.base` is `none`.

It does not apply to training from a base (a pretrained model), because the configured learning rate
was then chosen for a base and is already low.
"""


class TrainingRun:
    """A training run of a neural model; `loop` trains until the run is finished."""

    def __init__(
        self,
        tokens_uri: str,
        experiment: Experiment,
        out: Path,
        on_progress: OnProgress,
        start: Path | None = None,
    ) -> None:
        """Build the model, and load the saved position in `out` if there is one.

        Args:
            tokens_uri: Folder written by `tokenize`.
            experiment: The experiment to train.
            out: Folder for checkpoints, positions and the history of metrics.
            on_progress: Called after every step.
            start: Checkpoint whose weights are loaded if `out` holds no position.
        """
        self.experiment, self.out, self.on_progress = experiment, out, on_progress
        self.config = experiment.training
        self.group: Group = join(self.config.device)
        self.tokenizer = dataset.load_tokenizer(tokens_uri)
        documents = dataset.load_split(tokens_uri, "train")
        self.train_split = plant(documents, experiment, self.tokenizer, out)
        self._check_batch()
        validation = dataset.load_split(tokens_uri, "validation")
        self.validation_split = validation.first(self.config.validation_tokens)
        self.budget = parse_budget(self.config.budget)
        self.device = choose_device(self.config.device, self.group.local_rank)
        self.precision = choose_precision(self.config, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        check_memory(experiment, self.tokenizer.vocab_size, self.train_split, self.device)
        torch.manual_seed(self.config.seed)
        model = build(experiment.model, self.tokenizer.vocab_size)
        assert isinstance(model, NeuralLanguageModel)
        self.model = model.to(self.device)
        reduced = self.config.reduce_precision
        self.gradients = GradientSum(self.model.parameters(), self.group, reduced)
        record = cuda_graph if self.device.type == "cuda" and self.group.size == 1 else None
        self.backward = BackwardPass(self.model, self.config, self.precision, record)
        self.run = Run(
            self.model,
            optimizer_of(self.model, self.config, self.precision),
            WeightAverage(self.model, self.config),
            None,
            Position(),
        )
        self.update_weights = step_of(self.run.optimizer)
        self.sampler = sampler_of(self.config, self.train_split, self.tokenizer.vocab_size)
        self.history = History(out)
        prefixes = growth_prefixes(self.tokenizer, validation, experiment.corpus.condition)
        self.growth = Growth(out, self.tokenizer, prefixes)
        self.meter = Meter(self.run, self.tokenizer, self.train_split, self.validation_split)
        self.validation_seconds = 0.0
        self.saved_at = self.sampled_at = time.monotonic()
        self.stop_requested, self.has_start = False, start is not None
        self._resume(start)
        self.began = time.monotonic() - self.position.seconds

    def _check_batch(self) -> None:
        tokens = len(self.train_split.tokens)
        if self.config.batch_size > tokens:
            raise ConfigError(
                f"training.batch_size = {self.config.batch_size:,} is more than the {tokens:,} "
                "tokens of the training split; lower it, or give more text"
            )

    @property
    def position(self) -> Position:
        """The counters and figures of the run; see `Position`."""
        return self.run.position

    def loop(self) -> Position:
        """Train until the budget is spent or the validation loss stops falling.

        Returns:
            The counters and figures at the end of the run.
        """
        with one_thread(self.model.wants_one_thread):
            if self.has_start and not self.position.step:
                self._validate()  # the result must not be worse than the initial weights
            while not self._is_over():
                try:
                    self._epoch()
                except DivergedError as error:
                    self._recover(str(error))
            if math.isinf(self.position.best_nll_nats):  # no validation since a divergence
                self._validate()
            self._grow(is_over=True)
        self._save(LAST_FILE)
        if self.group.leads:
            (self.out / GOOD_FILE).unlink(missing_ok=True)
        return self.position

    def _epoch(self) -> None:
        """Train from the current position to the end of the epoch or of the run."""
        position = self.position
        for window in self._windows():
            self._step(window)
            position.window += 1
            now = time.monotonic()
            facts = (now - self.began, self.stop_requested, now - self.saved_at > SAVE_SECONDS)
            position.seconds, stop, save = self.group.agree(*facts)
            self._grow()  # before saving, so that a resumed run samples at the same steps
            self._report(self._row(), bool(save))
            if stop:
                self._save(LAST_FILE)
                raise KeyboardInterrupt
            if self._is_over():
                return
        position.epoch, position.window, self.run.state = position.epoch + 1, 0, None

    def _windows(self) -> Iterator[Window]:
        """Yield the remaining windows of the epoch, in an order set by seed and epoch number."""
        order = np.random.default_rng([self.config.seed, self.position.epoch])
        epoch = windows(
            self.train_split, self.config.feed, self.config.batch_size, self.config.bptt, order
        )
        return islice(epoch, self.position.window, None)

    def _step(self, batch: Window) -> None:
        position, parameters = self.position, [*self.model.parameters()]
        seed_dropout((self.config.seed, position.step, self.group.rank), self.device)
        self.meter.rate = learning_rate(self.config, self._share()) * position.rate_factor
        for group in self.run.optimizer.param_groups:
            group["lr"] = self.meter.rate
        nll_nats = self._backward(self.group.share(batch), batch.tokens)
        nll_nats = self.gradients.finish(nll_nats)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        self.update_weights()
        self.run.average.update(position.worse_in_a_row)
        position.step += 1
        position.tokens += batch.tokens
        self.meter.add(nll_nats, norm, batch.tokens)

    def _backward(self, batch: Window, tokens: int) -> Tensor:
        """Set the parameters' gradients to those of one step, and keep the recurrent state.

        Args:
            batch: This process's lanes of the window.
            tokens: Number of targets in the lanes of all processes, which the loss is divided by.

        Returns:
            The negative log-likelihood of this process's targets in nats, a scalar.
        """
        if not len(batch.fresh):
            self.model.zero_grad(set_to_none=True)
            self.run.state = self.model.initial_state(0)
            return torch.zeros((), device=self.device)
        sample = self.sampler.draw(self.position.step, self.device) if self.sampler else None
        nll_nats, self.run.state = self.backward.run(batch, self.run.state, tokens, sample)
        return nll_nats

    def _recover(self, what: str) -> None:
        """Return to the position in `good.safetensors` with a lower learning rate.

        Args:
            what: Step and figures of the divergence, for the message.

        Raises:
            DivergenceError: The run has diverged more than `training.recoveries` times.
        """
        self.meter.forget()
        recoveries, seconds = self.position.recoveries + 1, self.position.seconds
        if recoveries > self.config.recoveries:
            raise DivergenceError(
                f"training diverged at step {what} (expected a falling loss), even after "
                f"{recoveries - 1} restarts at a lower rate; lower training.learning_rate "
                f"({self.config.learning_rate:g}) or training.gradient_clip"
            )
        rate_factor = self.position.rate_factor * RECOVERY_FACTOR
        best = self.position.best
        try:
            self._load(GOOD_FILE)
        except CheckpointError:  # it is damaged: the next run starts from the beginning
            (self.out / LAST_FILE).unlink(missing_ok=True)
            raise
        position = self.position
        position.recoveries, position.rate_factor = recoveries, rate_factor
        position.seconds, position.best = seconds, best
        self._save(LAST_FILE)
        note = (
            f"diverged at step {what}; continuing from step {position.step} with the learning rate "
            f"×{rate_factor:g}"
        )
        self._tell(note=note)

    def _row(self) -> dict[str, float]:
        """Append a row of metrics to the history if one is due, and validate if that is due.

        Returns:
            The row, which includes validation metrics only after a validation; empty if no row is
            due.
        """
        position, share = self.position, self._share()
        validate = share >= 1.0 or self._validation_is_due(share)
        if not (validate or share * HISTORY_ROWS >= position.rows + 1):
            return {}
        row = self.meter.row()
        position.rows = int(share * HISTORY_ROWS)
        if validate:
            position.validations = int(share * self.config.validations)
            row.update(self._validate())
        if self.group.leads:
            self.history.append(row)
        return row

    def _validation_is_due(self, share: float) -> bool:
        """Return whether to validate now.

        If the budget is in seconds, the time spent on validation is limited; see `MOST_VALIDATION`.

        Args:
            share: Share of the training budget spent so far.
        """
        position = self.position
        if share * self.config.validations < position.validations + 1:
            return False
        unhurried = self.validation_seconds < MOST_VALIDATION * position.seconds
        due = self.budget.unit != "seconds" or unhurried
        return bool(self.group.agree(due)[0])

    def _validate(self) -> dict[str, float]:
        """Score the averaged weights on the validation split; save a checkpoint if it is the best.

        Returns:
            The validation metrics by name.

        Raises:
            DivergedError: See `watch_validation`.
        """
        position, began = self.position, time.monotonic()
        with self.run.average.applied():
            score = evaluate(self.model, self.validation_split).score
            self.validation_seconds += time.monotonic() - began
            nll_nats = self.group.agree(score.nll_nats)[0]
            best_nats = position.best_nll_nats / score.tokens
            watch_validation(position, nll_nats / score.tokens, best_nats, self.meter.uniform_nats)
            if nll_nats < position.best_nll_nats:
                position.best_nll_nats = nll_nats
                position.best_bits_per_character = score.bits_per_character
                position.best_step = position.step
                position.worse_in_a_row = 0
                facts = {"step": position.step, "tokens": position.tokens, **score.figures()}
                if self.group.leads:
                    path = self.out / BEST_FILE
                    checkpoint.save(path, self.model, self.tokenizer, self.experiment, facts)
                    position.best_digest = file_digest(path)
            else:
                position.worse_in_a_row += 1
                if self.config.schedule == "plateau":
                    position.rate_factor *= self.config.plateau_factor
        if not position.worse_in_a_row and is_good(
            position, nll_nats / score.tokens, self.meter.uniform_nats
        ):
            self._save(GOOD_FILE)
        return score.metrics("validation")

    def _grow(self, is_over: bool = False) -> None:
        """Sample growth texts (see `rnnlm.training.growth`) if they are due; only the leader does.

        Args:
            is_over: Whether training has ended. Texts are then due unless this step has some.
        """
        position, share = self.position, self._share()
        is_due = not self.growth.has(position.step) if is_over else self.growth.is_due(share)
        if self.group.leads and is_due and position.step:
            with self.run.average.applied():
                self.growth.write(self.model, share, position.step, position.tokens)

    def _report(self, row: dict[str, float], save: bool) -> None:
        if save or "validation/nll_nats_per_token" in row:
            self._save(LAST_FILE)
        sample = ""
        if self.group.leads and time.monotonic() - self.sampled_at > SAMPLE_SECONDS:
            sample = write_line(self.model, self.tokenizer, self.position.step)
            self.sampled_at = time.monotonic()
        self._tell(row, self.meter.note(), sample)

    def _tell(self, row: dict[str, float] | None = None, note: str = "", sample: str = "") -> None:
        if not self.group.leads:
            return
        position, total = self.position, self._total()
        unit = "seconds" if self.budget.unit == "seconds" else "tokens"
        done = min(self._done(), total)
        try:
            self.on_progress(Progress(done, total, unit, note, position.step, row or {}, sample))
        except BaseException:
            with suppress(DivergedError):
                self._save(LAST_FILE)
            raise

    def _total(self) -> float:
        if self.budget.unit == "epochs":
            return self.budget.amount * len(self.train_split.tokens)
        return self.budget.amount

    def _done(self) -> float:
        return self.position.seconds if self.budget.unit == "seconds" else self.position.tokens

    def _share(self) -> float:
        return self._done() / self._total()

    def _is_over(self) -> bool:
        return self._share() >= 1.0 or self.position.worse_in_a_row >= self.config.patience

    def _save(self, name: str) -> None:
        """Save the training state, from which training can resume, to a file in the run's folder.

        All processes must call this, because the recurrent state is gathered from all of them; only
        the leader writes the file.

        Args:
            name: `LAST_FILE` or `GOOD_FILE`.
        """
        if name == LAST_FILE:
            self.meter.look()
        state = self.group.whole(self.run.state)
        if self.group.leads:
            positions.save(self.out / name, self.run, state, self.tokenizer, self.experiment)
        self.saved_at = time.monotonic()

    def _load(self, name: str) -> None:
        positions.restore(self.out / name, self.run)
        self.run.state = self.group.own(self.run.state)
        if self.group.leads:
            self._cut(self.position.step)

    def _resume(self, start: Path | None) -> None:
        """Load the position in `last.safetensors`; without one, start a new run.

        A new run saves its initial position, to return to after a divergence. A run also starts
        over if its position is damaged, or its best checkpoint is missing or changed.

        Args:
            start: Checkpoint that a new run takes its weights from; None for random weights.
        """
        last, best = self.out / LAST_FILE, self.out / BEST_FILE
        fault = positions.fault_of(last) if last.is_file() else None
        if fault is not None:
            logging.getLogger(__name__).warning("%s; training from the beginning", fault)
        elif last.is_file():
            positions.check_same_run(last, self.experiment, self.tokenizer)
            position = positions.read(last)
            is_same = best.is_file() and file_digest(best) == position.best_digest
            if is_same or not position.best_digest or positions.is_later(best, position):
                self._load(LAST_FILE)
                self.position.best = self.position.best if is_same else NO_BEST
                return
            self._tell(note=f"{BEST_FILE} is missing or was changed; starting from the beginning")
        if start is not None:
            start_from(start, self.model, self.tokenizer)
            self.position.rate_factor = WARM_RATE if self.config.base == NO_BASE else 1.0
        if self.group.leads:
            self._cut(0)
        self._save(GOOD_FILE)

    def _cut(self, step: int) -> None:
        """Delete rows of history and growth texts after a step; later steps will run again."""
        self.history.cut(step)
        self.growth.cut(step)
