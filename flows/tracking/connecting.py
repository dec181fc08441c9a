"""Connect to the MLflow store, create its experiments, and convert values for it.

The store is the database with the runs and registered models, or a server in front of it.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.runtime import backups, credentials, locks, tables
from flows.runtime.addresses import is_http, reason, redact
from flows.runtime.home import Home, make_private, state_format
from rnnlm.errors import ServerError

TOKENS = "train/tokens"
"""Curve of the number of tokens that a training run has read."""
STEP_FIGURES = frozenset({"step", "tokens", "seconds"})
BY_TOKENS = ("train/bits_per_character", "validation/bits_per_character")
"""Curves that are logged twice: over optimizer steps, and over the number of tokens read. Curves
over tokens can be compared between runs of different batch sizes."""
BEST_VALIDATION = "validation/bits_per_character"
"""The best validation score of a run, a single value. MLflow orders groups of charts by name, so
that the curves, named `by_step/…` and `by_tokens/…`, come before all single values."""
PROBE_SECONDS = 10.0
MOST_RETRIES = "2"
"""Number of times that MLflow's client repeats a failed request. Few are enough, because points of
curves that could not be sent are sent again later."""


def connect(home: Home) -> MlflowClient:
    """Return a client of the home's MLflow store, creating the store if it is missing.

    Raises:
        ServerError: See `open_store`; or no MLflow server answers.
        StorageError: The store is a damaged SQLite file.
    """
    client = _connect(home.tracking_uri, home.mlruns, backups.database(home))
    state_format(home)  # in a new home, this command is the first to make its folders
    return client


@lru_cache(maxsize=4)
def _connect(tracking_uri: str, mlruns: Path, database: Path | None) -> MlflowClient:
    for noisy in ("alembic", "mlflow.tracking", "mlflow.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # its errors are raised too; the log would add a traceback
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", MOST_RETRIES)
    if is_http(tracking_uri):
        _probe(tracking_uri)
    make_private(mlruns)
    with FileLock(locks.mlflow_tables(mlruns)):
        if database is not None:
            backups.check(database)
        return open_store(tracking_uri)


def open_store(address: str) -> MlflowClient:
    """Return a client of the MLflow store at an address, creating its tables if they are missing.

    Raises:
        ServerError: The tables belong to another version of MLflow, or the server rejects the
            password or asks for one.
    """
    try:
        database = Path(address.removeprefix("sqlite:///"))
        is_file = database.is_absolute() and database.parent.is_dir()
        if is_file and not tables.create(database, "mlflow"):
            database.touch(mode=0o600)  # a new file is private from the start
        client = MlflowClient(address)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if "error code 401" in str(error):
            raise ServerError(
                f"MLFLOW_TRACKING_URI={redact(address)} {credentials.refusal()}"
            ) from error
        if "out-of-date database schema" not in str(error):
            raise
        raise ServerError(
            f"the tables of {redact(address)} belong to another version of MLflow; keep a copy of "
            f"the database, then run `mlflow db upgrade {redact(address)}`"
        ) from error
    return client


def is_local(home: Home) -> bool:
    """Return whether the MLflow store of a home is a SQLite file, with its artifacts on disk."""
    return home.tracking_uri.startswith("sqlite:")


def _probe(address: str) -> None:
    """Check that an MLflow server answers at an address.

    Raises:
        ServerError: No server answers, or it is not an MLflow server.
    """
    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=PROBE_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"no MLflow server answers at MLFLOW_TRACKING_URI={redact(address)} "
            f"({reason(error)}); start one with `rnnlm serve`, or unset it to use the embedded "
            "store"
        ) from error


def data_sets_of(name: str) -> str:
    """Return the name of the MLflow experiment with a model's generated data sets.

    No model can have this name, as names of models contain no spaces.
    """
    return f"{name} data sets"


def model_of(experiment: str) -> str:
    """Return the name of the model that an MLflow experiment belongs to, by the experiment's name.

    This is the inverse of `data_sets_of`; other experiments are named after their model.
    """
    return experiment.removesuffix(data_sets_of(""))


def experiment_id(client: MlflowClient, home: Home, name: str) -> str:
    """Return the id of the MLflow experiment with this name.

    It is created if it does not exist, and restored if it was deleted.

    Raises:
        ServerError: See `check_artifacts`.
    """
    with FileLock(locks.mlflow_tables(home.mlruns)):
        found = client.get_experiment_by_name(name)
        if found is None:
            place = home.mlruns / "artifacts" / name
            location = place.resolve().as_uri() if is_local(home) else None
            kind = {"mlflow.experimentKind": "custom_model_development"}
            client.create_experiment(name, artifact_location=location, tags=kind)
            found = client.get_experiment_by_name(name)
            assert found is not None
        elif found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
    if not is_local(home):
        check_artifacts(found)
    return str(found.experiment_id)


def check_artifacts(experiment: MlflowExperiment) -> None:
    """Check that this machine can store the artifacts of an experiment of an MLflow server.

    Raises:
        ServerError: They belong into a folder of another machine, which MLflow's client would
            create on this one.
    """
    folder = Path((experiment.artifact_location or "").removeprefix("file://"))
    if folder.is_absolute() and not folder.parents[1].is_dir():  # the first artifact makes others
        raise ServerError(
            f"MLflow stores the artifacts of {experiment.name} in {folder}, which is not on this "
            "machine; mount that folder here, or keep MLflow's data in PostgreSQL (docs/scale.md)"
        )


def log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    """Send metrics to a run, at most 1,000 per request, which is the most that MLflow accepts."""
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def metrics_of(row: Mapping[str, float]) -> list[Metric]:
    """Return a row of a training's history as MLflow metrics.

    Args:
        row: Values by name, measured at the same optimizer step; see `read_history`.
    """
    logged = now()
    values = [(k, v) for k, v in row.items() if k not in STEP_FIGURES]
    step = int(row.get("step", 0))
    if values:
        values.append((TOKENS, row["tokens"]))
    by_step = [Metric(curve(key), value, logged, step) for key, value in values]
    by_tokens = [
        Metric(f"by_tokens/{key.replace('/', '_')}", row[key], logged, int(row["tokens"]))
        for key in BY_TOKENS
        if key in row
    ]
    return by_step + by_tokens


def curve(key: str) -> str:
    """Return the name of the MLflow metric that shows a figure of the history by step.

    Args:
        key: Name of the figure, such as `train/bits_per_character`.
    """
    return f"by_step/{key.replace('/', '_')}"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested mapping, each with its path of keys joined by dots.

    Args:
        values: The mapping.
        prefix: Text before each key.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def now() -> int:
    """Return the current time as MLflow stores it, in milliseconds since 1970."""
    return int(time.time() * 1000)
