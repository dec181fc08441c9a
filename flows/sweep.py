"""The flow that searches for better settings: it trains many models and judges the best one.

A sweep varies some settings within given limits, its *space*. A *trial* is one training run with
the values of one point of the space. Its folder is the one that `rnnlm train` would use with these
settings, so that a later `rnnlm train` with the best trial's settings finds the model cached. The
*study* is the database on disk that records the trials. The gate decides whether the best trial's
model becomes champion. Running the same sweep again resumes where it stopped, even in the middle of
a trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect import flow
from prefect.states import Completed

from flows import tracking
from flows.chain.gate import Gate
from flows.chain.records import Step
from flows.chain.stage import Run
from flows.chain.stages import CHAIN
from flows.chain.tokenize import Tokenize
from flows.chain.train import train_from, training_step
from flows.chain.warm_start import start_of_trials, way_of_training
from flows.registry import bases
from flows.retrain import Trigger, run_as_task, run_name, summary, take
from flows.runtime import home, locks, model_locks, reporting, retrying
from flows.runtime.flow_defaults import OURS
from flows.sweeping import picture
from flows.sweeping.space import Space, check_trials, read_space
from flows.sweeping.study import STUDY_FILE, Study, open_study
from flows.sweeping.trial import Trial, best_of
from flows.tracking import SweepRun
from rnnlm.config import Experiment, load, parse_budget
from rnnlm.dataset import Tokens
from rnnlm.errors import ConfigError, DivergenceError
from rnnlm.progress import Progress
from rnnlm.storage import value_digest
from rnnlm.training.history import HISTORY_FILE, read_history
from rnnlm.training.trained import BEST_FILE, GOOD_FILE, LAST_FILE, TrainedModel

COMMON = 3
"""Number of stages that run once for all trials: those that come before training in the chain."""
VERSION = 1
"""Version of the sweep's code; to be raised when older trials cannot be compared with new ones."""
PRUNED_HISTORY_FILE = "pruned-history.jsonl"
"""File name of the training history of a trial that was ended early. The history is renamed to
this, because a later training with the same settings starts over and writes its own history."""
_VALIDATION = "validation/bits_per_character"
_WHY_WIDTH, _ENDED_WIDTH = 30, len("pruned at 33%")


class HopelessError(Exception):
    """Raised during a trial that scores worse than the other trials, to end it early."""


@flow(name="sweep", flow_run_name=run_name, **OURS)
def sweep(
    config: str | Experiment,
    over: Sequence[str],
    trials: int = 20,
    settings: Sequence[str] = (),
    trigger: Trigger = "manual",
) -> Any:
    """Train one model per trial, and send the model with the best validation score to the gate.

    The flow run ends in the state Unchanged if every result was cached, else as Completed.

    Args:
        config: The experiment to start from, or the path of its TOML file.
        over: Settings to vary, in the format of `--over`: `KEY=A,B,C` or `KEY=A..B`.
        trials: Total number of trials, including those of earlier runs of this sweep.
        settings: `key=value` changes to the settings in the file.
        trigger: What started this run: the user, a schedule or a change of the corpus's files.

    Returns:
        A final Prefect state whose data is the dictionary made by `flows.retrain.summary` for the
        best trial, with the results of the sweep added (see `_summary`).
    """
    given = config if isinstance(config, Experiment) else load(Path(config), settings)
    experiment = bases.fit(home.current(), given)
    check_trials(trials)
    space = read_space(experiment, over)
    reporter = reporting.current() or reporting.LogReporter()
    with (
        model_locks.working_on(home.current(), experiment.name),
        reporting.watching(reporter),
        retrying.patiently(trigger != "manual"),
    ):
        result = _sweep(space, trials, trigger, reporter)
    name = "Unchanged" if result["unchanged"] else "Completed"
    return Completed(name=name, message=result["message"], data=result)


def _sweep(
    space: Space, wanted: int, trigger: Trigger, reporter: reporting.Reporter
) -> dict[str, Any]:
    here, base = home.current(), space.base
    tags = {tracking.TRIGGER_TAG: trigger}
    common = Run(here, base, tags)
    take(common, CHAIN[:COMMON])
    key = sweep_key(space, common[Tokenize])
    folder = here.data / "sweeps" / base.name / key
    with (
        open_study(folder, space) as study,
        tracking.sweep_run(here, space, key, wanted, tags) as run,
    ):
        before = study.count_over()
        total = max(before, min(wanted, space.size or wanted))
        while study.count_over() < total:
            chosen = study.next()
            if chosen is None:
                break
            of_trial = _run_with(common, space.experiment(chosen.values), run.tags_of(chosen))
            run_as_task("trial", partial(trial, study, chosen, of_trial, total))
            run.show(study.trials(), total)
        tried = study.trials()
        best = best_of(tried)
        if best is None:
            raise DivergenceError(
                f"none of {len(tried)} trials could be trained to completion (last: "
                f"{tried[-1].why}); sweep over lower learning rates or smaller networks"
            )
        of_best = _run_with(common, space.experiment(best.values), run.tags_of(best))
        take(of_best, CHAIN[COMMON:])
        version = of_best[Gate]
        run.show(tried, total, f"{version.name}/{version.version}: {version.reason}")
        if len(tried) > before:
            run.log_picture(picture.draw(space, tried))
    figures = summary(of_best, reporter)
    unchanged = figures["unchanged"] and len(tried) == before
    return {**figures, **_summary(folder, run, best, tried), "unchanged": unchanged}


def _run_with(common: Run, experiment: Experiment, tags: Mapping[str, str]) -> Run:
    """Return a run of an experiment that reuses the results of the stages before training."""
    return replace(
        common,
        experiment=experiment,
        tags={**common.tags, **tags},
        start=start_of_trials(common.home, experiment),
        results={**common.results},
    )


def sweep_key(space: Space, tokens: Tokens) -> str:
    """Return the key of a sweep: the first sixteen hexadecimal digits of a digest.

    The digest covers the experiment's network and training settings, the varied settings with their
    limits, and the tokens.
    """
    base = space.base
    made_of = [VERSION, tokens.digest, base.model.model_dump(), way_of_training(base)]
    return value_digest([*made_of, list(space.words)])[:16]


def trial(study: Study, chosen: Trial, run: Run, total: int) -> tuple[Trial, bool, str]:
    """Train with the settings of a trial to the end of the training budget, or end it early.

    A trial ends early if it is hopeless, if training diverges, or if its settings are unusable.

    Args:
        study: The study of the sweep; the trial's outcome is written to it.
        chosen: The trial, with the values of its settings.
        run: A run through the chain with the trial's settings; it already holds the results of the
            stages before training.
        total: Total number of trials in the sweep, for messages.

    Returns:
        The trial with its outcome, whether its model came from the cache, and a line for the user.
    """
    experiment, start = run.experiment, run.start
    assert start is not None
    step = training_step(run, start)
    before = best_of(study.trials())
    watch = _Watch(study, chosen, experiment, run[Tokenize], total)
    cached = False
    try:
        watch.take_up(read_history(str(step.folder)))
        with reporting.watching(watch):
            model, cached = train_from(run, start)
    except HopelessError:
        known = study.get(chosen.number)
        share = max(known.validations) / experiment.training.validations
        why = f"step {known.step:,}, {share:.0%} of its budget"
        over = _give_up(study, chosen, experiment, step, why, "KILLED")
    except (DivergenceError, ConfigError) as error:
        if before is None and isinstance(error, ConfigError):
            raise  # may affect all trials, such as a missing device
        over = _give_up(study, chosen, experiment, step, str(error), "FAILED")
    else:
        watch.report_all(read_history(model.uri))  # a cached training called no reporter
        over = study.finish(chosen, model)
    return over, cached, _describe(study.space, over, total, before)


class _Watch(reporting.Reporter):
    """Reporter that follows the training of a trial.

    It records each validation score in the study, ends the trial once it is hopeless, and passes
    the progress on to the reporter that was current before.
    """

    def __init__(
        self, study: Study, chosen: Trial, experiment: Experiment, tokens: Tokens, total: int
    ) -> None:
        super().__init__()
        self._study, self._trial = study, chosen
        self._told = reporting.current() or reporting.Reporter()
        self._budget = parse_budget(experiment.training.budget)
        self._validations = experiment.training.validations
        self._tokens = max(1, tokens.tokens["train"])
        best = best_of(study.trials())
        said = f" · best {best.bits_per_character:.3f}" if best else ""
        self._where = f"{chosen.number}/{total}{said} · "

    def progressed(self, step: str, progress: Progress) -> None:  # noqa: ARG002 - it is `train`
        """Record a validation score if the progress contains one; then pass the progress on.

        Raises:
            HopelessError: The trial is hopeless.
        """
        if self._report(progress.metrics) and self._study.is_hopeless(self._trial):
            raise HopelessError
        note = self._where + progress.note
        self._told.progressed("trial", replace(progress, note=note, sample=""))

    def take_up(self, history: list[dict[str, float]]) -> None:
        """Record the validation scores that an earlier, interrupted process reached in this trial.

        Args:
            history: The training history that the process left: one dictionary of figures per row.

        Raises:
            HopelessError: The trial is hopeless; the earlier process was killed before ending it.
        """
        self.report_all(history)
        if self._study.is_hopeless(self._trial):
            raise HopelessError

    def report_all(self, history: list[dict[str, float]]) -> None:
        """Record all validation scores in a training history."""
        for row in history:
            self._report(row)

    def _report(self, row: Mapping[str, float]) -> bool:
        """Record the validation score in a row of the history; return whether the row has one.

        The study numbers a validation by how many validations were due by then: of a budget with 10
        validations, the one after half of the budget is number 5.
        """
        if _VALIDATION not in row:
            return False
        spent = row["seconds"] if self._budget.unit == "seconds" else row["tokens"]
        whole = self._tokens if self._budget.unit == "epochs" else 1
        share = min(1.0, spent / (self._budget.amount * whole))
        due = max(1, int(share * self._validations + 1e-9))
        bits, step = row[_VALIDATION], int(row["step"])
        self._study.report(self._trial, due, bits, step, row["seconds"])
        return True


def _give_up(
    study: Study,
    chosen: Trial,
    experiment: Experiment,
    step: Step[TrainedModel],
    why: str,
    status: str,
) -> Trial:
    """End a trial before the end of its training budget, and return it with its outcome.

    The function can be interrupted at any point and called again. The study is updated last,
    because a trial that the study lists as ended is never worked on again.

    Args:
        study: The study of the sweep.
        chosen: The trial.
        experiment: Configuration with the trial's settings.
        step: The training step of the trial.
        why: Why the trial ends early, in a few words.
        status: Final status of the trial's MLflow run: `KILLED` or `FAILED`.
    """
    here = home.current()
    tracking.end_pruned(here, experiment, step.key, why, status)
    try:
        with FileLock(locks.step(step.folder), timeout=0):
            if step.recall() is None:
                _clear(step.folder)
    except Timeout:  # another process is training with these settings
        pass
    return study.give_up(chosen, why, failed=status == "FAILED")


def _clear(folder: Path) -> None:
    """Remove the files that a training run would resume from, and rename its history.

    A later training with the same settings then starts from the beginning.
    """
    for name in (LAST_FILE, GOOD_FILE, BEST_FILE):  # without the first, no process reads the others
        (folder / name).unlink(missing_ok=True)
    if (folder / HISTORY_FILE).is_file():
        (folder / HISTORY_FILE).replace(folder / PRUNED_HISTORY_FILE)


def _describe(space: Space, over: Trial, total: int, before: Trial | None) -> str:
    """Return a line about a trial's result, in columns that align with the other trials' lines.

    Args:
        space: The space of the sweep.
        over: The trial, which has ended.
        total: Total number of trials in the sweep.
        before: The best of the earlier trials; None if none was trained to completion.
    """
    number = f"{over.number:>{len(str(total))}}/{total}"
    bits = over.bits_per_character
    shown = "    –" if bits is None else f"{bits:.3f}"
    ended = ""
    if over.state == "failed":
        ended = over.why.removeprefix("training ").partition(":")[0][:_WHY_WIDTH]
    elif over.state == "pruned":
        ended = f"pruned at {max(over.validations) / space.base.training.validations:.0%}"
    elif best_of([over, *([before] if before else [])]) == over:
        ended = "best so far"
    title = f"{over.title:<{space.title_width}}"
    return f"{number}  {title}  {shown} bits/character  {ended:<{_ENDED_WIDTH}}"


def _summary(folder: Path, run: SweepRun, best: Trial, tried: list[Trial]) -> dict[str, Any]:
    """Return the results of a sweep as a JSON-serializable dictionary.

    The units of figures are part of the key names.

    Args:
        folder: Folder of the study; its name is the sweep's key.
        run: The MLflow run of the sweep.
        best: The best trial.
        tried: All trials, including the best.
    """
    counts = {state: sum(t.state == state for t in tried) for state in ("done", "pruned", "failed")}
    bits = best.bits_per_character
    return {
        "sweep": folder.name,
        "sweep_run_id": run.run_id,
        "study": str(folder / STUDY_FILE),
        "best": best.model_dump(),
        "trials": [t.model_dump(exclude={"validations"}) for t in tried],
        "counts": counts,
        "message": f"trial {best.number} of {len(tried)}: {bits:.3f} bits/character, {best.title}",
    }
