"""Send the curves of a training run to MLflow while it runs.

During training, nothing waits for MLflow or fails because of it: points of curves that could not be
sent are kept and sent later. Points that are still unsent at the end are on disk, in the training's
history, and are sent when that training resumes.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from flows.lookup.entries import CHECKPOINT_TAG
from flows.runtime.home import Home
from flows.tracking.connecting import connect, log_metrics, metrics_of
from flows.tracking.runs import (
    TRAIN_KEY_TAG,
    describe_model,
    find_latest,
    last_step,
    open_run,
)
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.training.history import read_history
from rnnlm.training.trained import TrainedModel

FLUSH_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""Longest wait, at the end of a run, for the thread that sends points."""
SYSTEM_SECONDS = 10.0
"""Seconds between two measurements of the use of processor, memory, disk and network."""
STORE_ERRORS = (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError)
_UNFINISHED = "attributes.status != 'FINISHED'"


class LiveRun:
    """The MLflow run of a training in progress. Metrics are sent from a separate thread.

    Attributes:
        run_id: Id of the MLflow run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Prepare to log to an existing run; the points that it already has are not sent again."""
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._written: list[str] = []
        self._sent_at = time.monotonic()
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._sending: Future[list[Metric]] | None = None
        self._last_step = last_step(client, run_id)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Buffer a row of the training's history, unless the run already has it.

        The buffer is sent at most once every `FLUSH_SECONDS`.
        """
        if row.get("step", 0) > self._last_step:
            self._buffer.extend(metrics_of(row))
        is_free = self._sending is None or self._sending.done()
        if self._buffer and is_free and time.monotonic() - self._sent_at > FLUSH_SECONDS:
            self._flush()

    def log_sample(self, step: int, text: str) -> None:
        """Keep a line that the model wrote at a step; `finish` logs all lines in one file."""
        if text:
            self._written.append(f"{step:>8,}  {text}")

    def finish(self, model: TrainedModel) -> None:
        """Send the points that are left; log the lines that the model wrote and its final metrics.

        Raises:
            MlflowException: The store cannot be reached. No points are lost, because all of them
                are in the training's history.
        """
        self._send_the_rest()
        if self._written:
            lines = "\n".join(["    step  what the model wrote", *self._written, ""])
            self._client.log_text(self.run_id, lines, "samples/while-training.txt")
        describe_model(self._client, self.run_id, model)

    def close(self, status: str) -> None:
        """Send the points that are left, and end the run with a status.

        Raises:
            MlflowException: The store cannot be reached.
        """
        try:
            self._send_the_rest()
            self._client.set_terminated(self.run_id, status)
        finally:
            self._sender.shutdown(wait=False, cancel_futures=True)

    def _send_the_rest(self) -> None:
        if self._sending is not None:
            with contextlib.suppress(TimeoutError):
                self._buffer = self._sending.result(PATIENCE_SECONDS) + self._buffer
            self._sending = None
        log_metrics(self._client, self.run_id, self._buffer)
        self._buffer = []

    def _flush(self) -> None:
        unsent = self._sending.result() if self._sending is not None else []
        batch, self._buffer = unsent + self._buffer, []
        self._sent_at = time.monotonic()
        self._sending = self._sender.submit(self._send, batch)

    def _send(self, batch: list[Metric]) -> list[Metric]:
        """Send points; if that fails, return all of them, to be sent again.

        Some may have arrived. Sending those again does no harm, because MLflow keeps one copy.
        """
        try:
            log_metrics(self._client, self.run_id, batch)
        except STORE_ERRORS as error:
            said = str(error).strip().splitlines()[0][:200]
            logging.getLogger(__name__).warning("MLflow does not answer (%s); will retry", said)
            return batch
        return []


@contextmanager
def live_run(
    home: Home,
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    train_key: str,
    out: Path,
    tags: Mapping[str, str] | None = None,
) -> Iterator[LiveRun]:
    """Open the MLflow run of a training: its earlier run if the training resumes, or a new one.

    When the context is left, the run ends with the status FINISHED, with FAILED after an error, or
    with KILLED if the training was interrupted.

    Args:
        home: Home whose MLflow store is used.
        experiment: Settings of the training.
        corpus: Corpus that the model is trained on.
        tokens: The tokenized corpus.
        train_key: Key of the training step, by which an earlier run is found.
        out: Folder of the training, which holds its history if it was interrupted.
        tags: Additional tags for a new run.
    """
    client = connect(home)
    history = read_history(str(out))
    condition = f"tags.`{TRAIN_KEY_TAG}` = '{train_key}'"
    run_id = find_latest(
        client, experiment, condition if history else f"{condition} and {_UNFINISHED}"
    )
    named = {**(tags or {}), TRAIN_KEY_TAG: train_key}
    run_id = open_run(client, home, experiment, corpus, tokens, named, run_id)
    client.update_run(run_id, status="RUNNING")
    run = LiveRun(client, run_id)
    for row in history:
        run.log_row(row)
    with _system_metrics(home, run_id):
        try:
            yield run
        except BaseException as error:
            with contextlib.suppress(*STORE_ERRORS):
                run.close("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
    run.close("FINISHED")
    _delete_if_repeated(client, experiment, run_id)


def _delete_if_repeated(client: MlflowClient, experiment: Experiment, run_id: str) -> None:
    """Delete a run if an earlier, finished run made the same checkpoint.

    This happens when a training run is repeated because its files were damaged.
    """
    digest = client.get_run(run_id).data.tags.get(CHECKPOINT_TAG)
    found = client.get_experiment_by_name(experiment.name)
    if digest is None or found is None:
        return
    condition = f"tags.`{CHECKPOINT_TAG}` = '{digest}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(
        [found.experiment_id], condition, order_by=["attributes.start_time ASC"], max_results=1
    )
    if runs and runs[0].info.run_id != run_id:
        client.delete_run(run_id)


@contextmanager
def _system_metrics(home: Home, run_id: str) -> Iterator[None]:
    """Log the use of processor, memory, disk and network while this context lasts."""
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    monitor = SystemMetricsMonitor(
        run_id, SYSTEM_SECONDS, resume_logging=True, tracking_uri=home.tracking_uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
