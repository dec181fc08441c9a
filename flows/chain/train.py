"""The stage `train`: it trains the network from a champion's, a base's, or random weights.

A *start* is the choice of initial weights, with the reason for it.
"""

from collections.abc import Mapping

from flows import tracking
from flows.chain import records
from flows.chain.ingest import Ingest
from flows.chain.records import Step
from flows.chain.stage import Run, Stage
from flows.chain.tokenize import Tokenize
from flows.chain.warm_start import Start, choose_start, way_of_training, weights_of
from flows.runtime import reporting
from rnnlm.progress import Progress
from rnnlm.training.trained import EXPORT_FILE, TrainedModel

FROM_NOTHING = Start(None, "from nothing, to compare")


class Train(Stage[TrainedModel]):
    """Train a network on tokens, and write a checkpoint.

    If training started from the champion's weights and took only a short time, a second network is
    trained from random weights, and the one with the better validation score is the result.
    """

    name = "train"

    def recall(self, run: Run) -> TrainedModel | None:
        """Return the recorded model, or None.

        If a second model is trained from random weights, return the better of the two recorded
        models, or None if the second is not recorded yet.
        """
        model = training_step(run, self._start(run)).recall()
        if model is None or not self._is_compared(run, model):
            return model
        other = training_step(run, FROM_NOTHING).recall()
        return other and _better(model, other)

    def make(self, run: Run) -> tuple[TrainedModel, bool]:
        """Train the model or recall it; return the model, and whether it was recalled.

        If a comparison is due, train or recall a second model from random weights, and return the
        better of the two.
        """
        model, is_recalled = train_from(run, self._start(run))
        if self._is_compared(run, model):
            other, is_other_recalled = train_from(run, FROM_NOTHING)
            model, is_recalled = _better(model, other), is_recalled and is_other_recalled
        return model, is_recalled

    def describe(self, run: Run, result: TrainedModel) -> str:
        """Return a line with the number of steps and the validation score.

        It begins with the origin of the initial weights if that is of interest, or else with the
        number of parameters.
        """
        start = self._start(run)
        what = start.why if start.is_notable else f"{result.parameters:,} parameters"
        if self._is_compared(run, result) and not result.started_from:
            what = f"from nothing, which is better than {start.why}"
        bits = result.validation_bits_per_character
        return f"{what}, {result.step:,} steps, validation {bits:.3f} bits/character"

    def why(self, run: Run) -> str:
        """Return what has changed since the last record of the first training that has to run."""
        step = training_step(run, self._start(run))
        return step.why() if step.recall() is None else training_step(run, FROM_NOTHING).why()

    def where(self, run: Run, result: TrainedModel) -> str:  # noqa: ARG002 - the key says it
        """Return the key of the result, in words for the plan."""
        return f"key {training_step(run, self._start(run)).key}, files verified"

    def _start(self, run: Run) -> Start:
        """Return the start of the training, which is chosen once per run."""
        if run.start is None:
            run.start = choose_start(run.home, run.experiment, run[Ingest], run[Tokenize])
        return run.start

    def _is_compared(self, run: Run, model: TrainedModel) -> bool:
        """Return whether to also train from random weights, for comparison.

        This is done if training started from the champion's weights, no version with the same
        recipe exists, and training took at most `retraining.compare_minutes`.
        """
        start, minutes = self._start(run), run.experiment.retraining.compare_minutes
        return bool(start.digest) and not start.is_settled and model.seconds <= 60.0 * minutes


def training_step(run: Run, start: Start) -> Step[TrainedModel]:
    """Return the step that trains a run's network on its tokens from given initial weights."""
    return Step(
        name="train",
        version=4,
        ingredients={
            "tokens": run[Tokenize].digest,
            "model": run.experiment.model.model_dump(),
            "training": way_of_training(run.experiment),
            "start": start.digest,
        },
        result_type=TrainedModel,
        siblings=run.home.data / "models" / run.experiment.name,
        derived=frozenset({EXPORT_FILE}),
    )


def train_from(run: Run, start: Start) -> tuple[TrainedModel, bool]:
    """Train a model from given initial weights, or recall it from its record.

    During training, the learning curves are logged to an MLflow run.

    Returns:
        The model, and whether it was recalled.
    """
    home, experiment, tokens = run.home, run.experiment, run[Tokenize]
    step = training_step(run, start)
    tags: Mapping[str, str] = {**run.tags, "rnnlm.start": start.why}

    with records.attempt(step) as attempt:
        if not attempt.is_recalled:
            from rnnlm.training.api import train  # noqa: PLC0415 - imports torch

            weights = weights_of(home, experiment, start.digest) if start.digest else None
            with (
                reporting.progress(step.name) as tell,
                tracking.live_run(
                    home, experiment, run[Ingest], tokens, step.key, attempt.folder, tags
                ) as live,
            ):

                def tell_both(progress: Progress) -> None:
                    live.log_row(progress.metrics)
                    live.log_sample(progress.step, progress.sample)
                    tell(progress)

                model = train(tokens.uri, experiment, attempt.folder, tell_both, weights)
                live.finish(model)
            attempt.result = model
    return attempt.result, attempt.is_recalled


def _better(first: TrainedModel, second: TrainedModel) -> TrainedModel:
    return min(first, second, key=lambda model: model.validation_bits_per_character)
