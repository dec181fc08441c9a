"""Which model a training's base is: one of the package's, a registered one, or a file."""

from dataclasses import dataclass
from pathlib import Path

from flows import registry
from flows.home import Home
from rnnlm import base, checkpoint
from rnnlm.config import Experiment
from rnnlm.errors import ConfigError, RegistryError
from rnnlm.storage import file_digest
from rnnlm.tokenizer import Tokenizer


@dataclass(frozen=True)
class Base:
    """A base as it was found.

    Attributes:
        name: As the experiment calls it.
        path: Its checkpoint.
        digest: sha256 of that file.
    """

    name: str
    path: Path
    digest: str

    @property
    def tokenizer(self) -> Tokenizer:
        """The base's tokenizer."""
        return checkpoint.load_description(self.path)[1]


def find(home: Home, experiment: Experiment) -> Base | None:
    """Return the base that an experiment names, or None where it names none.

    Raises:
        ConfigError: There is no such base.
    """
    name = experiment.training.base
    if name == base.NO_BASE:
        return None
    path = _path(home, name)
    return Base(name, path, file_digest(path))


def fit(home: Home, experiment: Experiment) -> Experiment:
    """Return the experiment with what it leaves open taken from its base, if it has one.

    Raises:
        ConfigError: There is no such base.
        CheckpointError: The base cannot be read, or the experiment sets another network.
    """
    found = find(home, experiment)
    return base.fit(experiment, found.path) if found else experiment


def _path(home: Home, name: str) -> Path:
    if name in base.SHIPPED:
        return base.shipped(name)
    path = Path(name)
    if path.suffix == ".safetensors":
        if path.is_file():
            return path
        raise ConfigError(f"training.base = {name}: no such file; check the path")
    try:
        return registry.checkpoint_path(home, registry.resolve(home, name))
    except RegistryError as error:
        raise ConfigError(
            f"training.base = {name}: {error}; expected {', '.join(base.SHIPPED)}, a registered "
            "model, the path of a .safetensors file, or none"
        ) from error
