"""Show a sweep, which trains with different settings, in MLflow.

The sweep has one MLflow run, and each trial (a training run with particular settings) has a run
nested in it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from flows.lookup.entries import CHECKPOINT_TAG
from flows.runtime.home import Home
from flows.sweeping.space import Space, short_name
from flows.sweeping.trial import Trial, best_of
from flows.tracking.connecting import (
    BEST_VALIDATION,
    connect,
    curve,
    experiment_id,
    log_metrics,
    now,
)
from flows.tracking.live import STORE_ERRORS
from flows.tracking.runs import (
    NAME_TAG,
    NOTE_TAG,
    TRAIN_KEY_TAG,
    TRIGGER_TAG,
    find_latest,
    link_prefect_to,
    prefect_tags,
)
from flows.tracking.texts import KIND_TAG
from flows.tracking.views import run_page
from rnnlm.config import Experiment

SWEEP_TAG = "rnnlm.sweep"
TRIAL_TAG = "rnnlm.trial"
PRUNED_TAG = "rnnlm.pruned"
PARENT_TAG = "mlflow.parentRunId"
SHOWN_TRIALS = 5
"""Number of best trials that a sweep's note lists."""
_STATUS = {"done": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class SweepRun:
    """The MLflow run of a sweep.

    If it is lost, it can be restored from the sweep's study, the record of all trials on disk.

    Attributes:
        run_id: Id of the MLflow run.
    """

    def __init__(self, client: MlflowClient, run_id: str, key: str, space: Space) -> None:
        """Wrap an existing run.

        Args:
            client: Client of the MLflow store.
            run_id: Id of the run.
            key: Key of the sweep.
            space: The settings that the sweep varies.
        """
        self.run_id = run_id
        self._client, self._key, self._space = client, key, space

    def tags_of(self, trial: Trial) -> dict[str, str]:
        """Return the tags for a trial's MLflow run.

        They nest the run in this one, and name it after the settings of the trial.
        """
        return {
            NAME_TAG: trial.title,
            PARENT_TAG: self.run_id,
            SWEEP_TAG: self._key,
            TRIAL_TAG: str(trial.number),
        }

    def show(self, trials: list[Trial], total: int, version: str = "") -> None:
        """Update the note, the curves and the nested runs with the trials that have ended.

        Args:
            trials: All trials, including those that are running.
            total: Number of trials planned.
            version: The version that the best trial became, with the reason; empty as long as no
                trial has been registered.
        """
        over = [trial for trial in trials if trial.is_over]
        self._add_missing(over)
        self._client.set_tag(self.run_id, NOTE_TAG, self._note(over, total, version))
        points = self._client.get_metric_history(self.run_id, "sweep/trials")
        shown = max((point.step for point in points), default=0)
        metrics = []
        for trial in over:
            if trial.number > shown:
                figures = {"trials": float(trial.number), "trial_seconds": trial.seconds}
                if trial.bits_per_character is not None:
                    figures["trial_bits_per_character"] = trial.bits_per_character
                best = best_of([other for other in over if other.number <= trial.number])
                if best is not None and best.bits_per_character is not None:
                    figures["best_bits_per_character"] = best.bits_per_character
                for name, value in figures.items():
                    metrics.append(Metric(f"sweep/{name}", value, now(), trial.number))
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def log_picture(self, png: bytes) -> None:
        """Log a picture of all trials, in PNG format, as `sweep/trials.png`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "trials.png"
            path.write_bytes(png)
            self._client.log_artifact(self.run_id, str(path), "sweep")

    def _add_missing(self, over: list[Trial]) -> None:
        """Create MLflow runs for the trials that have none.

        A trial has no run if its training was cached, or if the MLflow store was lost.
        """
        place = self._client.get_run(self.run_id).info.experiment_id
        condition = f"tags.`{PARENT_TAG}` = '{self.run_id}'"
        runs = self._client.search_runs([place], condition, max_results=50_000)
        known = {run.data.tags.get(TRIAL_TAG) for run in runs}
        for trial in over:
            if str(trial.number) not in known:
                self._add(place, trial)

    def _add(self, place: str, trial: Trial) -> None:
        tags = {**self.tags_of(trial), KIND_TAG: "trial", NOTE_TAG: self._origin(place, trial)}
        if trial.state != "done":
            tags[PRUNED_TAG] = trial.why
        name = tags.pop(NAME_TAG)
        run_id = str(self._client.create_run(place, tags=tags, run_name=name).info.run_id)
        validations = self._space.base.training.validations
        metrics = [
            Metric("sweep/budget_share", due / validations, now(), due) for due in trial.validations
        ]
        bits = curve(BEST_VALIDATION)
        metrics += [Metric(bits, value, now(), due) for due, value in trial.validations.items()]
        if trial.bits_per_character is not None:
            metrics.append(Metric(BEST_VALIDATION, trial.bits_per_character, now(), 0))
        params = [Param(key, str(value)) for key, value in trial.values.items()]
        self._client.log_batch(run_id, params=params)
        log_metrics(self._client, run_id, metrics)
        self._client.set_terminated(run_id, _STATUS[trial.state])

    def _origin(self, place: str, trial: Trial) -> str:
        """Return the note for the run of a trial whose training was not logged to this run.

        If the training has an MLflow run, the note links to it.
        """
        bits = f"{trial.bits_per_character:.3f}" if trial.bits_per_character else "–"
        said = f"**Validation: {bits} bits per character.**"
        if not trial.checkpoint:
            return f"{said} {trial.why}".strip()
        condition = f"tags.`{CHECKPOINT_TAG}` = '{trial.checkpoint}'"
        runs = self._client.search_runs([place], condition, max_results=1)
        where = f", by run {_link(place, runs[0].info.run_id, runs[0].info.run_name)}"
        return f"{said} It had been trained before{where if runs else ''}."

    def _note(self, over: list[Trial], total: int, version: str) -> str:
        best = best_of(over)
        counts = {state: sum(t.state == state for t in over) for state in _STATUS}
        parts = [f"{count} {state}" for state, count in counts.items() if count]
        progress = (
            f"{len(over)} of {total} trials: {', '.join(parts)}." if over else "No trial yet."
        )
        if best is None:
            return f"**No trial has finished training.** {progress}"
        ranked = sorted(
            (t for t in over if t.state == "done"),
            key=lambda t: (t.bits_per_character or 0.0, t.number),
        )
        names = [short_name(d.key) for d in self._space.dimensions]
        rows = [
            f"| {t.number} | {' | '.join(str(t.values[d.key]) for d in self._space.dimensions)} "
            f"| {t.bits_per_character:.3f} | {t.seconds:.0f} |"
            for t in ranked[:SHOWN_TRIALS]
        ]
        head = ["trial", *names, "bits per character", "seconds"]
        words = " ".join(f"--set {setting}" for setting in best.settings)
        parts = [
            f"**Validation: {best.bits_per_character:.3f} bits per character with {best.title}**, "
            f"trial {best.number}. {progress}",
            *([f"It became {version}."] if version else []),
            "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]),
            f"```\n{words}\n```",
            "Below: one nested run for each trial; `sweep/trials.png` shows them all.",
        ]
        return "\n\n".join(parts)


@contextmanager
def sweep_run(
    home: Home, space: Space, key: str, trials: int, tags: Mapping[str, str]
) -> Iterator[SweepRun]:
    """Open the MLflow run of a sweep: its earlier run if there is one, or a new one.

    When the context is left, the run ends with the status FINISHED, with FAILED after an error, or
    with KILLED if the sweep was interrupted.

    Args:
        home: Home whose MLflow store is used.
        space: The settings that the sweep varies.
        key: Key of the sweep.
        trials: Number of trials planned.
        tags: Additional tags for a new run.
    """
    client, experiment = connect(home), space.base
    condition = f"tags.`{SWEEP_TAG}` = '{key}' and tags.`{KIND_TAG}` = 'sweep'"
    run_id = find_latest(client, experiment, condition)
    if run_id is None:
        named = {
            TRIGGER_TAG: "manual",
            "mlflow.source.name": experiment.corpus.source,
            **prefect_tags(),
            **tags,
            SWEEP_TAG: key,
            KIND_TAG: "sweep",
        }
        place = experiment_id(client, home, experiment.name)
        title = f"sweep · {datetime.now():%Y-%m-%d %H:%M:%S}"
        run_id = str(client.create_run(place, tags=named, run_name=title).info.run_id)
        words = [word.partition("=") for word in space.words]
        params = {f"over.{name}": said for name, _, said in words}
        training = experiment.training
        params |= {"training.budget": training.budget, "training.seed": str(training.seed)}
        client.log_batch(run_id, params=[Param(name, said[:500]) for name, said in params.items()])
    client.set_tag(run_id, "rnnlm.trials", str(trials))
    client.update_run(run_id, status="RUNNING")
    link_prefect_to(client, run_id)
    try:
        yield SweepRun(client, run_id, key, space)
    except BaseException as error:
        with contextlib.suppress(*STORE_ERRORS):
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def end_pruned(home: Home, experiment: Experiment, train_key: str, why: str, status: str) -> None:
    """Mark the MLflow run of a training as given up, because its trial was pruned or has failed.

    This does nothing if the training has no unfinished run. The key in the run's tags is changed,
    so that a later training with the same settings gets a new run.

    Args:
        home: Home whose MLflow store holds the run.
        experiment: Settings of the training.
        train_key: Key of the training step.
        why: Why the training was given up, in a few words.
        status: The run's final MLflow status.
    """
    client = connect(home)
    condition = f"tags.`{TRAIN_KEY_TAG}` = '{train_key}' and attributes.status != 'FINISHED'"
    run_id = find_latest(client, experiment, condition)
    if run_id is None:
        return
    tags = [
        RunTag(PRUNED_TAG, why),
        RunTag(TRAIN_KEY_TAG, f"{train_key}, pruned"),
        RunTag(NOTE_TAG, f"**Given up**: {why}."),
    ]
    points = client.get_metric_history(run_id, curve(BEST_VALIDATION))
    bits = [Metric(BEST_VALIDATION, min(p.value for p in points), now(), 0)] if points else []
    client.set_terminated(run_id, status)
    client.log_batch(run_id, metrics=bits, tags=tags)


def _link(place: str, run_id: str, name: str) -> str:
    return f"[{name}]({run_page(place, run_id)[1:]})"
