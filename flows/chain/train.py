"""The stage `train`: it trains from a champion's weights, a base's, or random ones."""

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
from rnnlm.training.api import TrainedModel
from rnnlm.training.api import train as train_model

FROM_NOTHING = Start(None, "from nothing, to compare")


class Train(Stage[TrainedModel]):
    """Tokens → checkpoint.

    If a training that started from a champion's weights was short, another one starts from random
    weights, and the better of the two models is kept.
    """

    name = "train"

    def recall(self, run: Run) -> TrainedModel | None:
        """Return the recorded model; the better one if two are compared."""
        model = training_step(run, self._start(run)).recall()
        if model is None or not self._is_compared(run, model):
            return model
        other = training_step(run, FROM_NOTHING).recall()
        return other and _better(model, other)

    def make(self, run: Run) -> tuple[TrainedModel, bool]:
        """Train, or recall; if two models are compared, do the same from random weights."""
        model, is_recalled = train_from(run, self._start(run))
        if self._is_compared(run, model):
            other, is_other_recalled = train_from(run, FROM_NOTHING)
            model, is_recalled = _better(model, other), is_recalled and is_other_recalled
        return model, is_recalled

    def describe(self, run: Run, result: TrainedModel) -> str:
        """Return the initial weights if notable, else the size; and steps and score."""
        start = self._start(run)
        what = start.why if start.is_notable else f"{result.parameters:,} parameters"
        if self._is_compared(run, result) and not result.started_from:
            what = f"from nothing, which is better than {start.why}"
        bits = result.validation_bits_per_character
        return f"{what}, {result.step:,} steps, validation {bits:.3f} bits/character"

    def why(self, run: Run) -> str:
        """Return what has changed since the last record."""
        step = training_step(run, self._start(run))
        return step.why() if step.recall() is None else training_step(run, FROM_NOTHING).why()

    def where(self, run: Run, result: TrainedModel) -> str:  # noqa: ARG002 - the key says it
        """Return the key of the result."""
        return f"key {training_step(run, self._start(run)).key}, files verified"

    def _start(self, run: Run) -> Start:
        """Return the initial weights of the training; they are chosen once per run."""
        if run.start is None:
            run.start = choose_start(run.home, run.experiment, run[Ingest], run[Tokenize])
        return run.start

    def _is_compared(self, run: Run, model: TrainedModel) -> bool:
        """Return whether to compare with random weights: if training was short enough."""
        start, minutes = self._start(run), run.experiment.retraining.compare_minutes
        return bool(start.digest) and not start.is_settled and model.seconds <= 60.0 * minutes


def training_step(run: Run, start: Start) -> Step[TrainedModel]:
    """Return the step that trains a run's experiment on its tokens from a given start."""
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
    )


def train_from(run: Run, start: Start) -> tuple[TrainedModel, bool]:
    """Train a model, or recall it; return the model and whether it was recalled.

    During training, the curves are logged to an MLflow run.
    """
    home, experiment, tokens = run.home, run.experiment, run[Tokenize]
    step = training_step(run, start)
    tags: Mapping[str, str] = {**run.tags, "rnnlm.start": start.why}

    with records.attempt(step) as attempt:
        if not attempt.is_recalled:
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

                model = train_model(tokens.uri, experiment, attempt.folder, tell_both, weights)
                live.finish(model)
            attempt.result = model
    return attempt.result, attempt.is_recalled


def _better(first: TrainedModel, second: TrainedModel) -> TrainedModel:
    return min(first, second, key=lambda model: model.validation_bits_per_character)
