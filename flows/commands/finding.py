"""Find a model by what a user calls it: a name in the registry, a file, or a base."""

from dataclasses import dataclass
from pathlib import Path

from flows.runtime.home import Home
from rnnlm import base
from rnnlm.errors import CheckpointError, RegistryError


@dataclass(frozen=True)
class FoundModel:
    """A model with its checkpoint.

    Attributes:
        name: Name and version, or the name of the file or base.
        path: Path of the checkpoint.
        reference: What other commands call it, `name/version`; empty if it is not registered.
        bits_per_character: Its score on the test split; None if it is not registered.
    """

    name: str
    path: Path
    reference: str = ""
    bits_per_character: float | None = None


def find_model(home: Home, reference: str) -> FoundModel:
    """Return the model that a reference names.

    The registry comes first, so that a model that is called like a base is found. MLflow is not
    imported for a file, or for a base in a home without a registry.

    Args:
        home: The home whose registry is searched.
        reference: `name`, `name@alias`, `name/version`, the path of a `.safetensors` file, or the
            name of a base that comes with the package.

    Raises:
        CheckpointError: There is no such file.
        RegistryError: There is no such model; the message lists those that exist.
    """
    path = Path(reference)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise CheckpointError(f"no file {path}; expected the path of a checkpoint")
        return FoundModel(path.stem, path)
    is_base = reference in base.SHIPPED
    if is_base and home.tracking_uri.startswith("sqlite:///"):
        database = Path(home.tracking_uri.removeprefix("sqlite:///"))
        if not database.is_file():
            return _base(reference)
    from flows import registry  # noqa: PLC0415

    try:
        version = registry.resolve(home, reference)
    except RegistryError:
        if is_base:
            return _base(reference)
        raise
    name = f"{version.name}/{version.version}"
    bits = version.test_bits_per_character
    checkpoint = registry.checkpoint_path(home, version)
    return FoundModel(name, checkpoint, name, None if bits != bits else bits)


def _base(name: str) -> FoundModel:
    path = base.shipped(name)
    return FoundModel(path.stem, path)
