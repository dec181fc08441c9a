"""Register a checkpoint as a new version of a model in MLflow.

The checkpoint is packaged together with the code that reads it. The packaged model and the version
are tagged with the digest of the checkpoint as they are created. If a process is killed midway, the
next one finds these tags and completes the registration, instead of registering the checkpoint
twice. The caller must hold the lock `locks.registering`.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import LoggedModel, LoggedModelStatus

import rnnlm
from flows.registry import packaged
from flows.registry.versions import Version, read
from flows.runtime.home import Home
from flows.tracking import CHECKPOINT_TAG, connect, is_local
from rnnlm.config import Experiment
from rnnlm.generation.prompt import attributes_of
from rnnlm.storage import is_intact

REQUIREMENTS = [
    "annotated-types",
    "numpy",
    "outlines-core",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
    "tokenizers",
    "torch",
    "typing-extensions",
]
"""What a packaged model imports, besides MLflow; a server installs it with the model."""


def register(
    home: Home,
    experiment: Experiment,
    checkpoint: str,
    version: Version,
    *,
    description: str | None = None,
    more_tags: Mapping[str, str] | None = None,
) -> Version:
    """Package a checkpoint and register it as a version, without an alias.

    The stage `gate` sets the alias later.

    Args:
        home: Home that names the MLflow store.
        experiment: Configuration of the model.
        checkpoint: Path of the checkpoint.
        version: Description of the version to store; its number and alias are ignored.
        description: Description of the version in Markdown; None for none yet.
        more_tags: Further tags of the version.

    Returns:
        The version as registered, with its number.
    """
    client = connect(home)
    mlflow.set_tracking_uri(home.tracking_uri)
    found = packaged_models(home, version.run_id, version.checkpoint)
    complete = [model.model_uri for model in found if is_complete(home, model, version.checkpoint)]
    uri = complete[0] if complete else _package(experiment, checkpoint, version)
    if client.get_run(version.run_id).info.status != "FINISHED":  # packaging was interrupted
        client.set_terminated(version.run_id, "FINISHED")
    if not client.search_registered_models(f"name = '{version.name}'"):
        client.create_registered_model(version.name)
    created = client.create_model_version(
        version.name,
        source=uri,
        run_id=version.run_id,
        tags={**version.tags(), **(more_tags or {})},
        description=description,
        model_id=uri.rpartition("/")[2],
    )
    return read(home, created)


def packaged_models(home: Home, run_id: str, digest: str) -> list[LoggedModel]:
    """Return the packaged models of a checkpoint that no version refers to.

    An interrupted registration leaves them behind.

    Args:
        home: Home that names the MLflow store.
        run_id: Id of the MLflow run of the training that made the checkpoint.
        digest: sha256 of the checkpoint.
    """
    client = connect(home)
    run = client.get_run(run_id)
    condition = f"tags.`{CHECKPOINT_TAG}` = '{digest}'"
    found = client.search_logged_models([run.info.experiment_id], condition)
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    taken = {version.source for version in versions}
    return [model for model in found if model.model_uri not in taken]


def is_complete(home: Home, model: LoggedModel, digest: str) -> bool:
    """Return whether a packaged model was finished and, in a local store, has its checkpoint.

    Args:
        home: Home that names the MLflow store.
        model: The packaged model.
        digest: sha256 of the checkpoint.
    """
    if model.status != LoggedModelStatus.READY:
        return False
    folder = Path(unquote(urlsplit(model.artifact_location).path)) / "artifacts"
    return not is_local(home) or any(
        is_intact(path, digest) for path in folder.glob("*.safetensors")
    )


def _package(experiment: Experiment, checkpoint: str, version: Version) -> str:
    """Log a checkpoint and the code that reads it to an MLflow run, as an MLflow model.

    Returns:
        The URI of the MLflow model.
    """
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
    defaults = experiment.generation.model_dump() | {"count": 1}
    with (
        _library_code() as code,
        warnings.catch_warnings(action="ignore"),  # MLflow asks for an example; `params` suffice
        mlflow.start_run(run_id=version.run_id, log_system_metrics=False),
    ):
        info = mlflow.pyfunc.log_model(
            name=experiment.name,
            python_model=packaged.__file__,
            artifacts={packaged.CHECKPOINT_ARTIFACT: checkpoint},
            code_paths=[code],
            signature=packaged.signature(defaults, attributes_of(experiment)),
            pip_requirements=REQUIREMENTS,
            tags={CHECKPOINT_TAG: version.checkpoint},
        )
    return str(info.model_uri)


@contextmanager
def _library_code() -> Iterator[str]:
    """Yield the path of a temporary copy of the sources of `rnnlm`.

    The copy contains neither compiled Python files nor the files of the bases.
    """
    with TemporaryDirectory() as folder:
        source, copy = Path(rnnlm.__file__).parent, Path(folder) / "rnnlm"
        shutil.copytree(
            source, copy, ignore=shutil.ignore_patterns("__pycache__", "base-*", "play")
        )
        yield str(copy)
