"""Find a trained model by its name in the registry or by its path: `rnnlm.load`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rnnlm.engine.loading import checkpoint_in
from rnnlm.errors import CheckpointError
from rnnlm.interface.texts_model import Model


def load(model: str | Path) -> Model:
    """Return a trained model.

    Args:
        model: The path of a checkpoint or of a folder that holds one, or a name in the registry of
            the current home (`RNNLM_HOME`, or the current folder): `name`, `name@alias` or
            `name/version`. A string is looked up in the registry first, unless it begins with `.`,
            `/` or `~`, or ends in `.safetensors`.

    Raises:
        CheckpointError: There is no checkpoint at that path.
        RegistryError: There is no such model.
    """
    path = Path(model).expanduser()
    if (
        isinstance(model, Path)
        or model.startswith((".", "/", "~"))
        or path.suffix == ".safetensors"
    ):
        return Model(checkpoint_in(path))
    if find_spec("rnnlm_flows") is None:  # only the library is here, as in a packaged model
        if path.exists():
            return Model(checkpoint_in(path))
        raise CheckpointError(
            f"no file or folder {model} (expected a path, since the registry, package "
            "`rnnlm_flows`, is not installed here); give a path"
        )
    import rnnlm_flows

    with rnnlm_flows.beside_others():
        from flows.lookup.finding import find
        from flows.runtime import home

        here = home.current()
        found = find(here, model)
    if not found.is_registered:
        return Model(found.checkpoint)
    return Model(found.checkpoint, name=found.name, digest=found.digest, packed=found.folder)
