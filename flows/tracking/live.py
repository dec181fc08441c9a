"""The MLflow run of a training in progress: its curves go to MLflow as they grow.

Training neither waits for MLflow nor fails because of it: points that could not be sent are kept
and sent later. Points still unsent at the end are on disk, in the training's history, and are sent
when that training resumes.
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

from flows.runtime.home import Home
from flows.tracking.connecting import connect, log_metrics, metrics_of
from flows.tracking.runs import TRAIN_KEY_TAG, create_run, describe_model, find_latest
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.training.api import TrainedModel
from rnnlm.training.history import read_history

FLUSH_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""Longest wait for the sender at the end of a run."""
SYSTEM_SECONDS = 10.0
"""Seconds between two readings of processor, memory, disk and network."""
STORE_ERRORS = (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError)
_UNFINISHED = "attributes.status != 'FINISHED'"


class LiveRun:
    """The MLflow run of a training in progress. Rows are sent from a separate thread."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Start with an empty buffer."""
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._written: list[str] = []
        self._sent_at = time.monotonic()
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._sending: Future[list[Metric]] | None = None
        logged = client.get_metric_history(run_id, "train/tokens")
        self._last_step = max((point.step for point in logged), default=0)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Buffer a row of history, to be sent within seconds, unless the run already has it."""
        if row.get("step", 0) > self._last_step:
            self._buffer.extend(metrics_of(row))
        is_free = self._sending is None or self._sending.done()
        if self._buffer and is_free and time.monotonic() - self._sent_at > FLUSH_SECONDS:
            self._flush()

    def log_sample(self, step: int, text: str) -> None:
        """Keep a line that the model wrote; `finish` logs all lines as one artifact."""
        if text:
            self._written.append(f"{step:>8,}  {text}")

    def finish(self, model: TrainedModel) -> None:
        """Send what is left, and log the checkpoint.

        Raises:
            MlflowException: The store cannot be reached; all points are in the training's history.
        """
        self._send_the_rest()
        if self._written:
            lines = "\n".join(["    step  what the model wrote", *self._written, ""])
            self._client.log_text(self.run_id, lines, "samples/while-training.txt")
        describe_model(self._client, self.run_id, model)

    def close(self, status: str) -> None:
        """End the run, sending what is left.

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
        """Send points; if that fails, return all of them: MLflow keeps a repeated point once."""
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
    """Open the MLflow run of a training: a new one, or the one that the training in `out` resumes.

    It ends as FINISHED, as FAILED, or as KILLED if the training was interrupted.
    """
    client = connect(home)
    history = read_history(str(out))
    condition = f"tags.`{TRAIN_KEY_TAG}` = '{train_key}'"
    run_id = find_latest(
        client, experiment, condition if history else f"{condition} and {_UNFINISHED}"
    )
    if run_id is None:
        named = {**(tags or {}), TRAIN_KEY_TAG: train_key}
        run_id = create_run(client, home, experiment, corpus, tokens, named)
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


@contextmanager
def _system_metrics(home: Home, run_id: str) -> Iterator[None]:
    """Log system metrics while this context lasts."""
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    monitor = SystemMetricsMonitor(
        run_id, SYSTEM_SECONDS, resume_logging=True, tracking_uri=home.tracking_uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
