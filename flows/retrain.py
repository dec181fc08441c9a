"""The Prefect flow that runs the chain: from a corpus to a registered model and sample texts.

Each stage of the chain runs as one Prefect task. The stages themselves are in `flows.chain`.
"""

import contextlib
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect import flow, task
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import BaseModel

from flows import registry, tracking
from flows.chain import records
from flows.chain.evaluate import Evaluate
from flows.chain.gate import Gate
from flows.chain.ingest import Ingest
from flows.chain.sample import Sample
from flows.chain.stage import Run, Stage
from flows.chain.stages import CHAIN
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from flows.registry import Version, bases
from flows.runtime import home, model_locks, reporting, retrying
from flows.runtime.flow_defaults import OURS, named_time
from rnnlm.config import Experiment, load
from rnnlm.corpora import files
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.fetching import is_here
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.report import CorpusReport, read_report

Trigger = Literal["manual", "schedule", "data change"]
R = TypeVar("R", bound=BaseModel)


def run_name() -> str:
    """Return the name of a flow run: the model that it trains, and the current time.

    Housekeeping reads the name of the model from it.
    """
    config = flow_run.parameters["config"]
    if isinstance(config, str):
        name = Path(config).stem
        with contextlib.suppress(OSError, ValueError):  # the flow itself reports a bad file
            name = str(tomllib.loads(Path(config).read_text("utf-8")).get("name", name))
    else:
        name = str(config["name"] if isinstance(config, dict) else config.name)
    trigger = flow_run.parameters.get("trigger", "manual")
    parts = [name, *([] if trigger == "manual" else [trigger]), named_time()]
    return " · ".join(parts)


@flow(name="retrain", flow_run_name=run_name, **OURS)
def retrain(
    config: str | Experiment,
    settings: Sequence[str] = (),
    trigger: Trigger = "manual",
    force: bool = False,
) -> Any:
    """Run all stages: ingest, tokenize, count, train, evaluate, register, sample, gate, review.

    The flow run ends in the state Unchanged if every result was cached, else in the state
    Completed. The state's message names the version and why it became champion or challenger. A run
    that was not started by hand retries after transient faults, such as a locked database.

    Args:
        config: The experiment, or the path of its TOML file, which is read when the flow runs.
        settings: `key=value` changes to the settings in the file.
        trigger: What started this run: the user (`manual`), a schedule, or a change of the
            corpus's files (`data change`). In the last case the run does nothing if the files
            are the same as those that the newest version was trained on.
        force: Whether to run every step from scratch, even if its result is cached.

    Returns:
        A final Prefect state whose data is the dictionary that `summary` returns; for a `data
        change` without a change, only the name and number of the newest version.
    """
    given = config if isinstance(config, Experiment) else load(Path(config), settings)
    experiment = bases.fit(home.current(), given)
    if trigger == "data change" and not force and (version := _of_these_files(experiment)):
        data = {"model": version.name, "version": version.version, "unchanged": True}
        message = f"the corpus is unchanged since {version.name}/{version.version}"
        return Completed(name="Unchanged", message=message, data=data)
    reporter = reporting.current() or reporting.LogReporter()
    with (
        reporting.watching(reporter),
        records.forced(force),
        retrying.patiently(trigger != "manual"),
    ):
        result = make(experiment, trigger, reporter)
    name = "Unchanged" if result["unchanged"] else "Completed"
    message = f"{result['model']}/{result['version']}: {result['reason']}"
    return Completed(name=name, message=message, data=result)


def make(experiment: Experiment, trigger: Trigger, reporter: reporting.Reporter) -> dict[str, Any]:
    """Run all stages, from corpus to review page; return the dictionary made by `summary`."""
    run = Run(home.current(), experiment, {tracking.TRIGGER_TAG: trigger})
    with model_locks.working_on(run.home, experiment.name):
        take(run, CHAIN)
        outcomes = reporter.outcomes
        if not all(outcome.cached for outcome in outcomes.values()):
            said = {name: outcome.summary for name, outcome in outcomes.items()}
            said[Gate.name] = run[Gate].verdict  # without the alias, which may move later
            tracking.log_stages(run.home, run[Gate].run_id, said)
        return summary(run, reporter)


def take(run: Run, stages: Sequence[Stage[Any]]) -> None:
    """Run some stages one after the other, each as a Prefect task, and keep their results.

    Args:
        run: The run through the chain; each stage's result is added to `run.results`.
        stages: The stages to run, in the order of the chain.
    """
    for stage in stages:

        def work(stage: Stage[Any] = stage) -> tuple[Any, bool, str]:
            result, cached = stage.make(run)
            return result, cached, stage.describe(run, result)

        run.results[stage.name] = run_as_task(stage.name, work)


def run_as_task(name: str, work: Callable[[], tuple[R, bool, str]]) -> R:
    """Call a function as a Prefect task, or directly if no flow is running; return its result.

    The task run ends in a state named Cached or Completed, with the summary as its message. Prefect
    does not store the result; it is stored only in the record in the step's folder.

    Args:
        name: Name of the task.
        work: Function that returns the result, whether the result came from the cache, and a short
            summary.
    """

    def reported() -> tuple[R, bool, str]:
        reporter = reporting.current() or reporting.Reporter()
        reporter.started(name)
        began = time.monotonic()
        result, cached, summary = work()
        reporter.finished(name, reporting.Outcome(time.monotonic() - began, cached, summary))
        return result, cached, summary

    if FlowRunContext.get() is None:
        return reported()[0]

    @task(name=name, persist_result=False, **retrying.options())
    def body() -> Any:
        result, cached, summary = reported()
        return Completed(name="Cached" if cached else "Completed", message=summary, data=result)

    state: Any = body()
    result: R = state.data.result
    return result


def _of_these_files(experiment: Experiment) -> Version | None:
    """Return the newest version if it was trained on the corpus's current files, else None."""
    here = home.current()
    entry = catalog().get(experiment.corpus.source)
    version = registry.newest(here, experiment.name)
    if version is None or (entry and not is_here(entry, here.sources)):
        return None
    found = files.locate(experiment.corpus, here.sources)
    return version if version.source_digest == files.digest(found, here.sources) else None


def _name_of_inspection() -> str:
    experiment = flow_run.parameters["experiment"]
    name = experiment["name"] if isinstance(experiment, dict) else experiment.name
    return f"{name} · {named_time()}"


@flow(name="inspect", flow_run_name=_name_of_inspection, **OURS)
def inspect(experiment: Experiment) -> tuple[Corpus, Tokens, CorpusReport]:
    """Run only the stages `ingest` and `tokenize`, to inspect a corpus before training on it.

    Returns:
        The results of both stages, and the report on the corpus.
    """
    reporter = reporting.current() or reporting.LogReporter()
    run = Run(home.current(), experiment)
    with reporting.watching(reporter):
        take(run, [Ingest(), Tokenize()])
    return run[Ingest], run[Tokenize], read_report(run[Tokenize].uri)


def summary(run: Run, reporter: reporting.Reporter) -> dict[str, Any]:
    """Return the results of a run of the whole chain as a JSON-serializable dictionary.

    It names the version, its alias and the reason, and holds the figures of the corpus, the
    training, the test and the sample texts, and each stage's duration in seconds.
    """
    experiment, outcomes = run.experiment, reporter.outcomes
    corpus, model, version, texts = run[Ingest], run[Train], run[Gate], run[Sample]
    return {
        "model": version.name,
        "version": version.version,
        "alias": version.alias,
        "run_id": version.run_id,
        "reason": version.reason,
        "unchanged": all(outcome.cached for outcome in outcomes.values()),
        "corpus": {
            "digest": corpus.digest,
            "documents": corpus.documents,
            "characters": corpus.characters,
            "encodings": corpus.encodings,
            "dropped": corpus.dropped,
            "cleaned": corpus.cleaned,
        },
        "training": {
            "architecture": experiment.model.architecture,
            "base": experiment.training.base,
            "budget": experiment.training.budget,
            "dropout": experiment.model.dropout,
            "tokens": model.tokens,
            "step": model.step,
            "best_step": model.best_step,
        },
        "test": run[Evaluate].figures,
        "seconds": {step: round(outcome.seconds, 3) for step, outcome in outcomes.items()},
        "cached": {step: outcome.cached for step, outcome in outcomes.items()},
        "generated": {"path": texts.uri, **texts.model_dump(exclude={"uri"})},
    }
