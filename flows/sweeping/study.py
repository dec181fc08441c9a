"""The study of a sweep records its trials on disk, proposes the next one, and detects bad ones.

The library Optuna proposes the values of each trial, with a tree-structured Parzen estimator (TPE),
and decides which trials to prune, that is, to end early. Its database is a SQLite file. The values
of a trial are proposed in memory and then stored at once, so that after an interruption the trial
is either complete in the file or absent. A proposal depends only on the seed and the earlier
trials, not on how often the sweep was interrupted.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from flows.runtime import locks
from flows.sweeping.space import Choices, Dimension, Space, Values
from flows.sweeping.trial import State, Trial
from rnnlm.training.trained import TrainedModel

STUDY_FILE = "study.db"
RANDOM_TRIALS = 6
"""Number of first trials whose values are drawn at random, before TPE has enough data."""
UNPRUNED_TRIALS = 3
"""Number of trials that must be trained to completion before any trial is pruned, since a trial is
pruned by comparison with the others."""
WARMUP = 0.2
"""Share of the training budget that every trial gets before it may be pruned."""
_ATTEMPTS = 30
_WHY, _SPENT, _CHECKPOINT, _FAILED = "why", "spent", "checkpoint", "failed"
_OVER = (TrialState.COMPLETE, TrialState.PRUNED)


class Study:
    """The trials of one sweep, recorded in a database.

    Only one process may use a study at a time, which `open_study` ensures.
    """

    def __init__(self, space: Space, study: optuna.Study) -> None:
        """Wrap Optuna's study of a sweep over a space."""
        self.space = space
        self._study = study
        self._distributions = {d.key: _distribution(d) for d in space.dimensions}

    def trials(self) -> list[Trial]:
        """Return all trials in the order of their start; only the last one may still be running."""
        return [self._read(trial) for trial in self._study.get_trials(deepcopy=False)]

    def count_over(self) -> int:
        """Return the number of trials that have ended."""
        return sum(trial.is_over for trial in self.trials())

    def next(self) -> Trial | None:
        """Return the next trial to train, or None if all points of the space have been tried.

        This is the trial that was interrupted, if there is one, or else a new trial.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            values = self._propose()
            if values is None:
                return None
            proposed = optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params={**values},
                distributions=self._distributions,
            )
            self._study.add_trial(proposed)
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return self._read(running[0])

    def get(self, number: int) -> Trial:
        """Return a trial, by its number, as the study has it recorded now."""
        return self._read(self._study.get_trials(deepcopy=False)[number - 1])

    def report(
        self, trial: Trial, validation: int, bits_per_character: float, step: int, seconds: float
    ) -> None:
        """Record a validation score of a trial, unless that validation is already recorded.

        Args:
            trial: The trial.
            validation: Number of the validation, counted from 1 up to `training.validations`.
            bits_per_character: Bits per character on the validation split.
            step: Number of optimizer steps taken so far.
            seconds: Seconds spent training so far.
        """
        if validation not in self._frozen(trial).intermediate_values:
            live = self._live(trial)
            live.set_user_attr(_SPENT, [step, round(seconds, 3)])
            live.report(bits_per_character, validation)

    def is_hopeless(self, trial: Trial) -> bool:
        """Return whether to end a trial early, because it is worse than most others.

        A trial is hopeless if its best score so far is worse than the median of the scores that
        trials trained to completion had at the same validation. No trial is hopeless in the first
        part of its budget (`WARMUP`), or at its last validation, when ending it would save nothing.
        """
        known = self._frozen(trial).intermediate_values
        if not known or max(known) >= self.space.experiment(trial.values).training.validations:
            return False
        return bool(self._live(trial).should_prune())

    def finish(self, trial: Trial, model: TrainedModel) -> Trial:
        """Record that a trial was trained to completion, and return it with its outcome."""
        facts = {_SPENT: [model.step, round(model.seconds, 3)], _CHECKPOINT: model.digest}
        return self._end(trial, TrialState.COMPLETE, facts, model.validation_bits_per_character)

    def give_up(self, trial: Trial, why: str, *, failed: bool) -> Trial:
        """Record that a trial was ended early, and return it with its outcome.

        Args:
            trial: The trial.
            why: Why it was ended, in a few words.
            failed: Whether it failed; otherwise it was pruned.
        """
        facts = {_WHY: why, _FAILED: failed}
        return self._end(trial, TrialState.PRUNED, facts, None)

    def _end(
        self, trial: Trial, state: TrialState, facts: Mapping[str, Any], value: float | None
    ) -> Trial:
        live = self._live(trial)
        for name, said in facts.items():
            live.set_user_attr(name, said)
        self._study.tell(live, value, state)
        return self._read(self._frozen(trial))

    def _propose(self) -> Values | None:
        """Return the point to try next, or None if all points have been tried.

        The first point has the base experiment's own values, if they are in the space. Later points
        are proposed by TPE. If it proposes only points that were tried before, another point is
        chosen; if the space has real numbers, such a point is tried again.
        """
        over = self._study.get_trials(deepcopy=False, states=_OVER)
        size = self.space.size
        if size is not None and len(over) >= size:
            return None
        if not over and self.space.own_values is not None:
            return self.space.own_values
        known = [self.space.settings(trial.params) for trial in over]
        values: Values = {}
        for attempt in range(_ATTEMPTS):
            values = self.space.rounded(self._sample(over, attempt))
            if self.space.settings(values) not in known:
                return values
        if size is None:
            return values
        return next(v for v in self.space.points() if self.space.settings(v) not in known)

    def _sample(self, over: list[FrozenTrial], attempt: int) -> Values:
        """Return a point that TPE proposes, given the trials that have ended.

        The same trials, seed and attempt always lead to the same point.

        Args:
            over: The trials that have ended.
            attempt: How many points were proposed and rejected before, for the same trial.
        """
        entropy = [self.space.base.training.seed, len(over), attempt]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
        rehearsal = optuna.create_study(sampler=sampler)
        rehearsal.add_trials(over)
        return dict(rehearsal.ask(self._distributions).params)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number - 1]

    def _live(self, trial: Trial) -> optuna.Trial:
        return optuna.Trial(self._study, self._frozen(trial)._trial_id)

    def _read(self, frozen: FrozenTrial) -> Trial:
        values = {d.key: frozen.params[d.key] for d in self.space.dimensions}
        facts = frozen.user_attrs
        states: dict[TrialState, State] = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}
        state = "failed" if facts.get(_FAILED) else states.get(frozen.state, "running")
        validations = frozen.intermediate_values
        step, seconds = facts.get(_SPENT, (0, 0.0))
        bits = frozen.value if state == "done" else validations.get(max(validations, default=0))
        return Trial(
            number=frozen.number + 1,
            values=values,
            settings=self.space.settings(values),
            title=self.space.title(values),
            state=state,
            validations=validations,
            bits_per_character=bits,
            why=facts.get(_WHY, ""),
            step=step,
            seconds=seconds,
            checkpoint=facts.get(_CHECKPOINT, ""),
        )


@contextmanager
def open_study(folder: Path, space: Space) -> Iterator[Study]:
    """Open the study in a folder, and create it if it does not exist.

    While another process uses the study, this waits.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(locks.study(folder)):
        storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / STUDY_FILE).resolve()}")
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=space.base.name,
                pruner=_pruner(space.base.training.validations),
                load_if_exists=True,
            )
            yield Study(space, study)
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _pruner(validations: int) -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner(
        n_startup_trials=UNPRUNED_TRIALS,
        n_warmup_steps=math.ceil(WARMUP * validations),
        n_min_trials=UNPRUNED_TRIALS,
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.is_log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)
