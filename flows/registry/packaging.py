"""Register a checkpoint as a version: packaged with the code that reads it, without an alias."""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

import rnnlm
from flows.registry import packaged
from flows.registry.versions import Version, read
from flows.runtime.home import Home
from flows.tracking import connect
from rnnlm.config import Experiment
from rnnlm.training.api import TrainedModel


def register(home: Home, experiment: Experiment, model: TrainedModel, version: Version) -> Version:
    """Package a checkpoint and register it; the gate sets its alias later.

    Args:
        home: Home that names the MLflow store.
        experiment: Configuration of the model.
        model: The trained model.
        version: Facts about the version; its number and alias are ignored.

    Returns:
        The version as registered.
    """
    client = connect(home)
    uri = _package(home, experiment, model, version.run_id)
    if not client.search_registered_models(f"name = '{version.name}'"):
        client.create_registered_model(version.name)
    created = client.create_model_version(
        version.name,
        source=uri,
        run_id=version.run_id,
        tags=version.tags(),
        model_id=uri.rpartition("/")[2],
    )
    return read(home, created)


def _package(home: Home, experiment: Experiment, model: TrainedModel, run_id: str) -> str:
    """Log the checkpoint with the code that reads it as a model of the run; return its URI."""
    mlflow.set_tracking_uri(home.tracking_uri)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
    defaults = experiment.generation.model_dump() | {"count": 1}
    with (
        _library_code() as code,
        warnings.catch_warnings(record=True),  # MLflow asks for an example; `params` suffice
        mlflow.start_run(run_id=run_id, log_system_metrics=False),
    ):
        info = mlflow.pyfunc.log_model(
            name=experiment.name,
            python_model=packaged.__file__,
            artifacts={packaged.CHECKPOINT_ARTIFACT: model.checkpoint},
            code_paths=[code],
            signature=packaged.signature(defaults),
            pip_requirements=["torch", "numpy", "pyarrow", "pydantic", "safetensors"],
        )
    return str(info.model_uri)


@contextmanager
def _library_code() -> Iterator[str]:
    """Yield a copy of the library's sources, without compiled Python and without the bases."""
    with TemporaryDirectory() as folder:
        source, copy = Path(rnnlm.__file__).parent, Path(folder) / "rnnlm"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "base-*"))
        yield str(copy)
