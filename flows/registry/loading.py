"""Load a registered model without running code from the store."""

from typing import TYPE_CHECKING

from flows.registry.checkpoints import checkpoint_path
from flows.registry.versions import resolve
from flows.runtime import home

if TYPE_CHECKING:
    from rnnlm.checkpoint import LoadedModel


def load_model(reference: str) -> "LoadedModel":
    """Load a registered model from its safetensors file, whose header is JSON.

    No other file of the store is read, so no code from the store runs. In contrast,
    `mlflow.pyfunc.load_model` runs a Python file that is stored with the model.

    Args:
        reference: The model: `name`, `name@alias` or `name/version`.

    Raises:
        RegistryError: There is no such version, or its files are missing.
        CheckpointError: The file is damaged, or of another format.
    """
    from rnnlm import checkpoint  # noqa: PLC0415 - imports torch

    here = home.current()
    return checkpoint.load(checkpoint_path(here, resolve(here, reference)))
