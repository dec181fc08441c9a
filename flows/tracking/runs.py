"""Create and find MLflow runs of training, and log their settings, data and results."""

import getpass
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.git_utils import get_git_commit

from flows.lookup.entries import CHECKPOINT_TAG
from flows.lookup.references import ALIASES
from flows.runtime.home import Home
from flows.tracking.changes import (
    COMMIT_TAG,
    CORPUS_TAG,
    SOURCES_TAG,
    TORCH_TAG,
    Changes,
    log_changes_since_champion,
    sources_digest,
)
from flows.tracking.connecting import (
    BEST_VALIDATION,
    TOKENS,
    connect,
    curve,
    experiment_id,
    flat,
    log_metrics,
    metrics_of,
    now,
)
from flows.tracking.views import model_page
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.errors import ServerError
from rnnlm.evaluation.results import TestScores, by_repeats
from rnnlm.gate import Verdict
from rnnlm.report import LENGTHS_FILE, REPORT_FILE
from rnnlm.review.exposure_table import exposure_in_one_line
from rnnlm.review.result import Review
from rnnlm.review.writing import in_one_line
from rnnlm.training.history import read_history
from rnnlm.training.trained import TrainedModel

TRAIN_KEY_TAG = "rnnlm.train_key"
TRIGGER_TAG = "rnnlm.trigger"
VERSION_TAG = "rnnlm.version"
VERDICT_TAG = "rnnlm.verdict"
"""What the gate decided, and why; unlike the alias, it never changes."""
ALIAS_TAG = "rnnlm.alias"
"""The present alias of the version; `NO_ALIAS` if it has none."""
NO_ALIAS = "none"
BETWEEN = " · "
"""What separates the parts of a run's name."""
REVIEW_TAG = "mlflow.rnnlm.review"  # MLflow's pages hide tags that begin with mlflow.
NOTE_TAG = "mlflow.note.content"
NAME_TAG = "mlflow.runName"
COMPLETE_TAG = "mlflow.rnnlm.complete"
"""Tag of a run that was created from a training's history: `no` until everything is logged, then
`yes`."""
DESCRIBED_TAG = "mlflow.rnnlm.described"
"""Tag of the run of a training: `no` until its settings and data are logged, then `yes`."""
CANARIES_TABLE = "canaries.json"
"""Artifact with a row for each canary, which MLflow's pages show as a table."""


def find_run(home: Home, experiment: Experiment, digest: str) -> str | None:
    """Return the id of the MLflow run of the training that made a checkpoint, or None.

    Args:
        home: Home whose MLflow store is searched.
        experiment: Settings whose name is that of the MLflow experiment to search.
        digest: sha256 of the checkpoint.
    """
    return find_latest(connect(home), experiment, f"tags.`{CHECKPOINT_TAG}` = '{digest}'")


def ensure_run(
    home: Home, experiment: Experiment, corpus: Corpus, tokens: Tokens, model: TrainedModel
) -> str:
    """Return the id of the MLflow run of the training that made a checkpoint.

    If there is no such run, it is created from the training's history on disk. If an earlier
    process was killed while it did so, its run is completed.
    """
    client, run_id = connect(home), find_run(home, experiment, model.digest)
    if run_id and client.get_run(run_id).data.tags.get(COMPLETE_TAG) != "no":
        return run_id
    tags = {CHECKPOINT_TAG: model.digest, COMPLETE_TAG: "no"}
    run_id = open_run(client, home, experiment, corpus, tokens, tags, run_id)
    last = last_step(client, run_id)
    for row in read_history(model.uri):
        if row["step"] > last:
            log_metrics(client, run_id, metrics_of(row))
    describe_model(client, run_id, model)
    client.set_terminated(run_id, "FINISHED")
    client.set_tag(run_id, COMPLETE_TAG, "yes")
    return run_id


def log_verdict(
    home: Home,
    version: str,
    run_id: str,
    alias: str,
    verdict: Verdict,
    changes: Changes | None = None,
) -> None:
    """Write the gate's verdict on a version into the tags and the note of its MLflow run.

    The run's name then begins with the version.

    Args:
        home: Home whose MLflow store holds the run.
        version: The version, as name/number.
        run_id: Id of the MLflow run of the training that made the version.
        alias: The alias that the version was given.
        verdict: The verdict, with its reason and checks.
        changes: What differs from the champion that the version was compared with, if known.
    """
    client = connect(home)
    run = client.get_run(run_id)
    said = f"became {alias}: {verdict.reason}"
    client.log_batch(run_id, tags=[RunTag(VERSION_TAG, version), RunTag(VERDICT_TAG, said)])
    scores = run.data.tags.get(NOTE_TAG, "").partition("\n\nVersion [")[0]
    name, _, number = version.partition("/")
    checks = "\n".join(f"- {'✓' if check.passed else '✗'} {check.said}" for check in verdict.checks)
    header = f"Version [{version}]({model_page(name, int(number))[1:]}) became **{alias}**:"
    note = [scores, header, checks, changes.in_markdown() if changes else ""]
    client.set_tag(run_id, NOTE_TAG, "\n\n".join(part for part in note if part))
    own = without_version(str(run.info.run_name), name)
    client.update_run(run_id, name=f"{version}{BETWEEN}{own}")


def log_alias(client: MlflowClient, run_id: str, version: str, alias: str | None) -> None:
    """Write the present alias of a version into the tags of its MLflow run, if that still exists.

    If an earlier version of the package wrote the gate's verdict as if it were the present alias,
    that is corrected.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the MLflow run of the training that made the version.
        version: The version, as name/number. If the run names another one, nothing is written.
        alias: The alias; None if it has none.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    known = run.data.tags
    if run.info.lifecycle_stage != "active" or known.get(VERSION_TAG, version) != version:
        return
    verdict, note = known.get(VERDICT_TAG, ""), known.get(NOTE_TAG, "")
    tags = {ALIAS_TAG: alias or NO_ALIAS}
    if verdict.partition(": ")[0] in ALIASES:
        tags[VERDICT_TAG] = f"became {verdict}"
        tags[NOTE_TAG] = re.sub(r"\), (\*\*(champion|challenger)\*\*:)", r") became \1", note)
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def log_review(home: Home, run_id: str, review: Review) -> None:
    """Log a review page and its pictures to an MLflow run, unless the run already has this page."""
    client = connect(home)
    if client.get_run(run_id).data.tags.get(REVIEW_TAG) == review.digest:
        return
    for path in (review.page, *review.pictures):
        client.log_artifact(run_id, path, "review")
    client.set_tag(run_id, REVIEW_TAG, review.digest)


def log_scores(home: Home, run_id: str, scores: TestScores) -> None:
    """Log the scores on the test split to an MLflow run, and write them into the run's note."""
    client = connect(home)
    metrics = [Metric(f"test/{k}", v, now(), 0) for k, v in scores.figures.items()]
    client.log_batch(run_id, metrics=metrics)
    figures = scores.figures
    note = (
        f"**Test: {figures['bits_per_character']:.3f} bits per character**, "
        f"perplexity {figures['perplexity']:.2f} over {figures['tokens']:,.0f} tokens; "
        f"n-grams of characters {figures['ngram_bits_per_character']:.3f} bits per character."
    )
    said = [note, in_one_line(figures), exposure_in_one_line(by_repeats(scores.canaries))]
    client.set_tag(run_id, NOTE_TAG, "\n\n".join(part for part in said if part))
    if scores.canaries:
        rows = [canary.model_dump() for canary in scores.canaries]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        client.log_table(run_id, columns, CANARIES_TABLE)


def title(experiment: Experiment) -> str:
    """Return the title of a new MLflow run: its network and the current time, to the second."""
    return f"{experiment.model.title}{BETWEEN}{datetime.now():%Y-%m-%d %H:%M:%S}"


def without_version(title: str, name: str) -> str:
    """Return the name of a run without the version of a model that `log_verdict` put before it."""
    return title.partition(BETWEEN)[2] if title.startswith(f"{name}/") else title


def last_step(client: MlflowClient, run_id: str) -> int:
    """Return the step of the last point of a run's training curves; 0 if it has none."""
    logged = client.get_metric_history(run_id, curve(TOKENS))
    return max((point.step for point in logged), default=0)


def open_run(
    client: MlflowClient,
    home: Home,
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    tags: Mapping[str, str],
    run_id: str | None = None,
) -> str:
    """Create the MLflow run of a training and describe it; return its id.

    If the process is killed midway, a later call with the run's id completes the description.
    The run gets the settings as parameters, a description of the corpus, and tags. The name of the
    run is the value of `NAME_TAG` in `tags` or, if that is missing, the result of `title`.

    Args:
        client: Client of the MLflow store.
        home: Home of the store.
        experiment: Settings of the training.
        corpus: Corpus that the model is trained on.
        tokens: The tokenized corpus; its report is logged too.
        tags: Additional tags of a new run.
        run_id: Id of a run that exists already; None to create one.
    """
    if run_id is None:
        run_id = _create_run(client, home, experiment, corpus, tags)
    elif client.get_run(run_id).data.tags.get(DESCRIBED_TAG) != "no":
        return run_id
    params = [Param(key, str(value)) for key, value in flat(experiment.model_dump())]
    client.log_batch(run_id, params=params)
    data = Dataset(
        name=experiment.name,
        digest=corpus.digest[:36],
        source_type="local",
        source=json.dumps({"uri": corpus.uri, "source": experiment.corpus.source}),
        profile=json.dumps(
            {
                "documents": corpus.documents,
                "characters": corpus.characters,
                "tokens": tokens.tokens,
            }
        ),
    )
    context = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, datasets=[DatasetInput(data, context)])
    for name in (REPORT_FILE, LENGTHS_FILE):
        if (path := Path(tokens.uri) / name).is_file():
            client.log_artifact(run_id, str(path), "corpus")
    log_changes_since_champion(client, run_id, experiment.name)
    link_prefect_to(client, run_id)
    client.set_tag(run_id, DESCRIBED_TAG, "yes")
    return run_id


def _create_run(
    client: MlflowClient,
    home: Home,
    experiment: Experiment,
    corpus: Corpus,
    tags: Mapping[str, str],
) -> str:
    """Create the MLflow run of a training, with tags only, and return its id."""
    from rnnlm.devices import choose_device, device_name  # noqa: PLC0415 - imports torch

    named = {
        CORPUS_TAG: corpus.digest,
        "rnnlm.tokenizer": experiment.tokenizer.kind,
        "rnnlm.architecture": experiment.model.architecture,
        "rnnlm.device": device_name(choose_device(experiment.training.device)),
        TRIGGER_TAG: "manual",
        DESCRIBED_TAG: "no",
        **_code_tags(experiment),
        **prefect_tags(),
        **tags,
    }
    name = named.pop(NAME_TAG, title(experiment))
    place = experiment_id(client, home, experiment.name)
    return str(client.create_run(place, tags=named, run_name=name).info.run_id)


def log_stages(home: Home, run_id: str, summaries: Mapping[str, str]) -> None:
    """Write the outcome of each stage of the chain into an MLflow run, as tags `stage.NAME`.

    The tags are informational: if the store stops answering, a warning is logged and the chain
    succeeds without them.

    Args:
        home: Home whose MLflow store holds the run.
        run_id: Id of the MLflow run of the training.
        summaries: One line per stage, by stage name.
    """
    tags = [RunTag(f"stage.{name}", summary) for name, summary in summaries.items()]
    try:
        connect(home).log_batch(run_id, tags=tags)
    except (MlflowException, ServerError) as error:
        logging.getLogger(__name__).warning("could not log the stages to MLflow: %s", error)


def _code_tags(experiment: Experiment) -> dict[str, str]:
    """Return tags with the corpus's source, the user and the code.

    The code is named by a digest of the sources, by the version of torch, and, in a git checkout,
    by the commit.
    """
    tags = {
        "mlflow.source.name": experiment.corpus.source,
        "mlflow.user": getpass.getuser(),
        SOURCES_TAG: sources_digest(),
        TORCH_TAG: metadata.version("torch"),
    }
    commit = get_git_commit(str(Path(__file__).parent))
    return tags | ({COMMIT_TAG: commit} if commit else {})


def find_latest(client: MlflowClient, experiment: Experiment, condition: str) -> str | None:
    """Return the id of the newest MLflow run that meets a condition, or None.

    Args:
        client: Client of the MLflow store.
        experiment: Settings whose name is that of the MLflow experiment to search.
        condition: A filter in MLflow's search syntax.
    """
    found = client.get_experiment_by_name(experiment.name)
    if found is None:
        return None
    runs = client.search_runs(
        [found.experiment_id], condition, max_results=1, order_by=["attributes.start_time DESC"]
    )
    return str(runs[0].info.run_id) if runs else None


def describe_model(client: MlflowClient, run_id: str, model: TrainedModel) -> None:
    """Log the digest and the figures of a trained model to an MLflow run, and set the run's note.

    The figures include how many nats per token each reduced precision loses in generation.
    """
    figures: dict[str, float] = {"parameters": model.parameters, "best_step": model.best_step}
    if model.started_from:
        figures["trained_share"] = model.trained_share
    tags = [RunTag(CHECKPOINT_TAG, model.digest)]
    if model.precision is not None:
        costs = model.precision.cost_nats
        figures |= {f"{name}_cost_nats": cost for name, cost in costs.items() if name != "fp32"}
        tags.append(RunTag("rnnlm.precision", model.precision.chosen))
    note = (
        f"**Validation: {model.validation_bits_per_character:.3f} bits per character** after "
        f"{model.best_step:,} of {model.step:,} steps."
    )
    if model.trained_share < 1.0:
        note += (
            f" Its weights are mixed with {1 - model.trained_share:.0%} of those it started from."
        )
    tags.append(RunTag(NOTE_TAG, note))
    metrics = [Metric(f"model/{name}", value, now(), 0) for name, value in figures.items()]
    best = model.validation_bits_per_character
    metrics.append(Metric(BEST_VALIDATION, best, now(), model.step))
    client.log_batch(run_id, metrics=metrics, tags=tags)


def prefect_tags() -> dict[str, str]:
    """Return tags with the id and the name of the current Prefect flow run; none outside of one."""
    from prefect.runtime import flow_run  # noqa: PLC0415 - slow to import

    if flow_run.id is None:
        return {}
    return {"prefect.flow_run_id": str(flow_run.id), "prefect.flow_run_name": str(flow_run.name)}


def link_prefect_to(client: MlflowClient, run_id: str) -> None:
    """Add the name and id of an MLflow run to the page of the current Prefect flow run.

    Outside of a flow run, this does nothing.
    """
    from prefect.artifacts import create_markdown_artifact  # noqa: PLC0415
    from prefect.runtime import flow_run  # noqa: PLC0415

    if flow_run.id is None:
        return
    run = client.get_run(run_id)
    text = f"MLflow run **{run.info.run_name}**, id `{run_id}`"
    create_markdown_artifact(text, key="mlflow-run", description="the MLflow run of this flow run")
