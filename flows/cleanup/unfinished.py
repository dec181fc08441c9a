"""Remove what an interrupted registration has left in MLflow."""

from flows import registry
from flows.cleanup.mlflow_store import Store
from flows.runtime.home import Home


def remove_unfinished(home: Home, run_id: str, digest: str) -> None:
    """Remove a checkpoint's packaged models that an interrupted registration left incomplete.

    Args:
        home: Home that names the MLflow store.
        run_id: Id of the MLflow run of the training that made the checkpoint.
        digest: sha256 of the checkpoint.
    """
    for model in registry.packaged_models(home, run_id, digest):
        if not registry.is_complete(home, model, digest):
            Store(home).remove_model(model.model_id)
