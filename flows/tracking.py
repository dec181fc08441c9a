"""MLflow runs: what was asked, how it went, what came out.

A run belongs to a checkpoint. Curves go to it while training runs; should the store be lost, the
run is written again from the history on disk, so what MLflow shows can always be had back.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from flows.home import Home
from rnnlm import checkpoint
from rnnlm.config import Experiment, GenerationConfig, override
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.devices import choose_device
from rnnlm.evaluation import TestScores
from rnnlm.generation.data_set import TextDataSet
from rnnlm.generation.job import MANIFEST_FILE
from rnnlm.generation.texts import sample_texts
from rnnlm.report import LENGTHS_FILE, REPORT_FILE
from rnnlm.training.api import TrainedModel
from rnnlm.training.history import read_history

CHECKPOINT_TAG = "rnnlm.checkpoint"
TRAIN_KEY_TAG = "rnnlm.train_key"
TEXTS_TAG = "rnnlm.texts"
KIND_TAG = "rnnlm.kind"
FLUSH_SECONDS = 5.0
SAMPLE_TEMPERATURES = (0.5, 0.8, 1.1)
SAMPLE_COUNT = 20
SAMPLE_TOKENS = 800
_UNFINISHED = "attributes.status != 'FINISHED'"
STEP_FIGURES = frozenset({"step", "tokens", "seconds"})


@lru_cache(maxsize=4)
def _connect(tracking_uri: str, mlruns: Path) -> MlflowClient:
    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "mlflow.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(mlruns / ".mlflow.lock"):  # two processes that create the tables spoil them
        client = MlflowClient(tracking_uri)
        client.search_experiments(max_results=1)
    return client


def connect(home: Home) -> MlflowClient:
    """Return a client of the home's MLflow store, made if it is not there."""
    return _connect(home.tracking_uri, home.mlruns)


class LiveRun:
    """An MLflow run that is being trained. Rows are sent from a thread of their own."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Start with an empty buffer."""
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._written: list[str] = []
        self._sent_at = time.monotonic()
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._sending: Future[None] | None = None
        logged = client.get_metric_history(run_id, "train/tokens")
        self._last_step = max((point.step for point in logged), default=0)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Take a row of history; it is sent within a few seconds, unless the run has it already."""
        if row.get("step", 0) > self._last_step:
            self._buffer.extend(_metrics(row))
        if self._buffer and time.monotonic() - self._sent_at > FLUSH_SECONDS:
            self._flush()

    def log_sample(self, step: int, text: str) -> None:
        """Take a line that the model wrote; all lines are one artifact at the end."""
        if text:
            self._written.append(f"{step:>8,}  {text}")

    def finish(self, model: TrainedModel) -> None:
        """Send what is left and name the checkpoint."""
        self._flush()
        self._wait()
        if self._written:
            lines = "\n".join(["    step  what the model wrote", *self._written, ""])
            self._client.log_text(self.run_id, lines, "samples/while-training.txt")
        _describe_model(self._client, self.run_id, model)

    def close(self, status: str) -> None:
        """End the run, sending what is left."""
        self._flush()
        self._wait()
        self._sender.shutdown()
        self._client.set_terminated(self.run_id, status)

    def _flush(self) -> None:
        self._wait()
        batch, self._buffer = self._buffer, []
        self._sent_at = time.monotonic()
        self._sending = self._sender.submit(_log_metrics, self._client, self.run_id, batch)

    def _wait(self) -> None:
        if self._sending is not None:
            self._sending.result()
            self._sending = None


@contextmanager
def live_run(
    home: Home, experiment: Experiment, corpus: Corpus, tokens: Tokens, train_key: str, out: Path
) -> Iterator[LiveRun]:
    """Open the run that a training belongs to: a new one, or the one that `out` goes on from.

    It ends as FINISHED, FAILED, or KILLED where the training was interrupted.
    """
    client = connect(home)
    history = read_history(str(out))
    condition = f"tags.`{TRAIN_KEY_TAG}` = '{train_key}'"
    run_id = _find(client, experiment, condition if history else f"{condition} and {_UNFINISHED}")
    if run_id is None:
        tags = {TRAIN_KEY_TAG: train_key}
        run_id = _create(client, home, experiment, corpus, tokens, tags)
    client.update_run(run_id, status="RUNNING")
    run = LiveRun(client, run_id)
    for row in history:
        run.log_row(row)
    try:
        yield run
    except Exception:
        run.close("FAILED")
        raise
    except BaseException:
        run.close("KILLED")
        raise
    run.close("FINISHED")


def find_run(home: Home, experiment: Experiment, digest: str) -> str | None:
    """Return the id of the run that made a checkpoint, or None."""
    return _find(connect(home), experiment, f"tags.`{CHECKPOINT_TAG}` = '{digest}'")


def ensure_run(
    home: Home, experiment: Experiment, corpus: Corpus, tokens: Tokens, model: TrainedModel
) -> str:
    """Return the id of the run that made a checkpoint, writing it anew from disk if it is gone."""
    found = find_run(home, experiment, model.digest)
    if found:
        return found
    client = connect(home)
    run_id = _create(client, home, experiment, corpus, tokens, {})
    for row in read_history(model.uri):
        _log_metrics(client, run_id, _metrics(row))
    _describe_model(client, run_id, model)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def log_scores(home: Home, run_id: str, scores: TestScores) -> None:
    """Log the test figures, and put the result into the first line of the run's note."""
    client = connect(home)
    metrics = [Metric(f"test/{k}", v, _now(), 0) for k, v in scores.figures.items()]
    client.log_batch(run_id, metrics=metrics)
    figures = scores.figures
    note = (
        f"**Test: {figures['bits_per_character']:.3f} bits per character**, "
        f"perplexity {figures['perplexity']:.2f} over {figures['tokens']:,.0f} tokens; "
        f"n-grams {figures['ngram_bits_per_character']:.3f} bits per character."
    )
    client.set_tag(run_id, "mlflow.note.content", note)


def log_texts(
    home: Home, run_id: str, experiment: Experiment, checkpoint_path: Path, texts: TextDataSet
) -> None:
    """Log a data set's figures, picture and first texts, and samples at three temperatures.

    Does nothing if the run shows this data set already.
    """
    client = connect(home)
    if client.get_run(run_id).data.tags.get(TEXTS_TAG) == texts.digest:
        return
    _log_data_set(client, run_id, texts)
    loaded = checkpoint.load(checkpoint_path)
    for temperature in SAMPLE_TEMPERATURES:
        changes = {
            "temperature": temperature,
            "count": SAMPLE_COUNT,
            "top_k": 0,
            "top_p": 1.0,
            "max_length": min(SAMPLE_TOKENS, experiment.generation.max_length),
        }
        sampled = sample_texts(loaded, override(experiment.generation, changes))
        between = "\n\n⁂\n\n" if any("\n" in text.text for text in sampled) else "\n"
        page = between.join(text.text for text in sampled) + "\n"
        client.log_text(run_id, page, f"samples/temperature-{temperature}.txt")
    client.set_tag(run_id, TEXTS_TAG, texts.digest)


def log_generation(
    home: Home, name: str, version: int, run_id: str, texts: TextDataSet, config: GenerationConfig
) -> str:
    """Log a data set as a run of its model's experiment, and return the run's id.

    A data set has one run, however often its job is asked for.

    Args:
        home: Where MLflow is.
        name: The model's.
        version: The version that wrote the texts.
        run_id: The run that trained it.
        texts: What was generated.
        config: How.
    """
    client = connect(home)
    condition = f"tags.`{TEXTS_TAG}` = '{texts.digest}' and tags.`{KIND_TAG}` = 'generation'"
    experiment_id = _experiment_id(client, home, name)
    known = client.search_runs([experiment_id], condition, max_results=1)
    if known:
        return str(known[0].info.run_id)
    trained = client.get_run(run_id)
    tags = {
        KIND_TAG: "generation",
        "rnnlm.model_version": f"{name}/{version}",
        "rnnlm.model_run": run_id,
        "rnnlm.data_set": texts.uri,
        "rnnlm.corpus": trained.data.tags.get("rnnlm.corpus", ""),
        "mlflow.note.content": (
            f"**{texts.count:,} texts** of {name}/{version}, trained by run "
            f"[{trained.info.run_name}](#/experiments/{trained.info.experiment_id}/runs/"
            f"{run_id}), in `{texts.uri}`."
        ),
        **_prefect_tags(),
    }
    title = f"{name} · {texts.count:,} texts · {datetime.now():%Y-%m-%d %H:%M}"
    own = str(client.create_run(experiment_id, tags=tags, run_name=title).info.run_id)
    params = [Param(key, str(value)[:500]) for key, value in config.model_dump().items()]
    client.log_batch(own, params=params)
    _log_data_set(client, own, texts)
    _link_prefect_to(client, own)
    client.set_tag(own, TEXTS_TAG, texts.digest)
    client.set_terminated(own, "FINISHED")
    return own


def _log_data_set(client: MlflowClient, run_id: str, texts: TextDataSet) -> None:
    """Log a data set's figures, card, pages, pictures and manifest."""
    figures: dict[str, Any] = {
        "texts": texts.count,
        "drawn": texts.drawn,
        "characters": texts.characters,
        "duplicate_share": texts.audit.duplicate_share,
        **{k: v for k, v in texts.audit.generated.model_dump().items() if not isinstance(v, dict)},
    }
    metrics = [
        Metric(f"generated/{name}", float(value), _now(), 0)
        for name, value in figures.items()
        if value is not None
    ]
    client.log_batch(run_id, metrics=metrics)
    for name in (MANIFEST_FILE, "README.md", *texts.pages):
        if (path := Path(texts.uri) / name).is_file():
            client.log_artifact(run_id, str(path), "generated")


def title(experiment: Experiment) -> str:
    """Return what a run is called: corpus, network, time."""
    return f"{experiment.name} · {experiment.model.title} · {datetime.now():%Y-%m-%d %H:%M}"


def _create(
    client: MlflowClient,
    home: Home,
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    tags: Mapping[str, str],
) -> str:
    named = {
        "rnnlm.corpus": corpus.digest,
        "rnnlm.tokenizer": experiment.tokenizer.kind,
        "rnnlm.architecture": experiment.model.architecture,
        "rnnlm.device": choose_device(experiment.training.device).type,
        **_prefect_tags(),
        **tags,
    }
    run = client.create_run(
        _experiment_id(client, home, experiment.name), tags=named, run_name=title(experiment)
    )
    run_id: str = run.info.run_id
    params = [Param(key, str(value)) for key, value in _flat(experiment.model_dump())]
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
    _link_prefect_to(client, run_id)
    return run_id


def _prefect_tags() -> dict[str, str]:
    """Name the Prefect run around us, if there is one."""
    from prefect.runtime import flow_run  # noqa: PLC0415 - heavy, and absent outside flows

    if flow_run.id is None:
        return {}
    return {"prefect.flow_run_id": str(flow_run.id), "prefect.flow_run_name": str(flow_run.name)}


def _link_prefect_to(client: MlflowClient, run_id: str) -> None:
    """Name the MLflow run on the Prefect run's page, if there is one."""
    from prefect.artifacts import create_markdown_artifact  # noqa: PLC0415
    from prefect.runtime import flow_run  # noqa: PLC0415

    if flow_run.id is None:
        return
    run = client.get_run(run_id)
    text = f"MLflow run **{run.info.run_name}**, id `{run_id}`"
    create_markdown_artifact(text, key="mlflow-run", description="the MLflow run of this flow run")


def _experiment_id(client: MlflowClient, home: Home, name: str) -> str:
    """Return the id of the experiment, made if need be."""
    with FileLock(home.mlruns / ".mlflow.lock"):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            return str(found.experiment_id)
        if found is not None:
            client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        local = home.tracking_uri.startswith("sqlite:")
        location = (home.mlruns / "artifacts" / name).resolve().as_uri() if local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=location, tags=kind))


def _find(client: MlflowClient, experiment: Experiment, condition: str) -> str | None:
    found = client.get_experiment_by_name(experiment.name)
    if found is None:
        return None
    runs = client.search_runs(
        [found.experiment_id], condition, max_results=1, order_by=["attributes.start_time DESC"]
    )
    return str(runs[0].info.run_id) if runs else None


def _describe_model(client: MlflowClient, run_id: str, model: TrainedModel) -> None:
    """Log what the checkpoint is, and what generating in fewer bits costs it."""
    figures: dict[str, float] = {"parameters": model.parameters, "best_step": model.best_step}
    tags = [RunTag(CHECKPOINT_TAG, model.digest)]
    if model.precision is not None:
        costs = model.precision.cost_nats
        figures |= {f"{name}_cost_nats": cost for name, cost in costs.items() if name != "fp32"}
        tags.append(RunTag("rnnlm.precision", model.precision.chosen))
    metrics = [Metric(f"model/{name}", value, _now(), 0) for name, value in figures.items()]
    client.log_batch(run_id, metrics=metrics, tags=tags)


def _metrics(row: Mapping[str, float]) -> list[Metric]:
    now = _now()
    values = [(k, v) for k, v in row.items() if k not in STEP_FIGURES]
    step = int(row.get("step", 0))
    if values:
        values.append(("train/tokens", row["tokens"]))
    return [Metric(key, value, now, step) for key, value in values]


def _log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _now() -> int:
    return int(time.time() * 1000)
