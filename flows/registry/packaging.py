"""Register a checkpoint as a new version of a model in MLflow.

The checkpoint is packaged together with the code that reads it.
"""

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
    """Package a checkpoint and register it as a version, without an alias.

    The stage `gate` sets the alias later.

    Args:
        home: Home that names the MLflow store.
        experiment: Configuration of the model.
        model: The trained model.
        version: Description of the version to store; its number and alias are ignored.

    Returns:
        The version as registered, with its number.
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
    """Log a checkpoint and the code that reads it to an MLflow run, as an MLflow model.

    Returns:
        The URI of the MLflow model.
    """
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
    """Yield the path of a temporary copy of the sources of `rnnlm`.

    The copy contains neither compiled Python files nor the files of the bases.
    """
    with TemporaryDirectory() as folder:
        source, copy = Path(rnnlm.__file__).parent, Path(folder) / "rnnlm"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "base-*"))
        yield str(copy)
