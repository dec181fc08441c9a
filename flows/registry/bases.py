"""Find the base of a training, and export a registered model as a base.

A base is a pretrained model that training starts from: one that comes with the package, a model in
the registry, or a checkpoint file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from flows import registry
from flows.registry import Version
from flows.runtime.home import Home
from rnnlm import bases
from rnnlm.bases import fitting
from rnnlm.bases.windows import windows_of
from rnnlm.conditioning import iter_with_headers
from rnnlm.config import Experiment
from rnnlm.corpora.catalog import catalog
from rnnlm.errors import CheckpointError, ConfigError, RegistryError
from rnnlm.header import load_description
from rnnlm.overlap import Hashes
from rnnlm.storage import file_digest, write_bytes
from rnnlm.tokenizer import Tokenizer
from rnnlm.visible import visible


@dataclass(frozen=True)
class Base:
    """A base with its checkpoint.

    Attributes:
        name: Value of the setting `training.base`.
        path: Path of the checkpoint.
        digest: sha256 of the checkpoint.
    """

    name: str
    path: Path
    digest: str

    @property
    def tokenizer(self) -> Tokenizer:
        """The base's tokenizer."""
        return load_description(self.path).tokenizer

    @property
    def windows(self) -> Hashes:
        """Hashes of 13-word sequences in the text that the base was trained on.

        They are a sample of all such sequences, and serve to detect text that the base has seen.
        """
        return windows_of(self.path)


def find(home: Home, experiment: Experiment) -> Base | None:
    """Return the base that an experiment names, or None if it names none.

    Raises:
        ConfigError: There is no such base.
        CheckpointError: The base came with the package and is damaged.
    """
    name = experiment.training.base
    if name == fitting.NO_BASE:
        return None
    path = _path(home, name)
    digest = file_digest(path)
    if name in bases.SHIPPED and digest != (bases.shipped_digest(name) or digest):
        raise CheckpointError(
            f"{path} is damaged: it does not match the digest on its card; install the package "
            "again, or set training.base=none"
        )
    return Base(name, path, digest)


def path_if_there(home: Home, experiment: Experiment) -> Path | None:
    """Return the path of the checkpoint of an experiment's base.

    Return None if the experiment has no base, or if the base does not exist.
    """
    try:
        found = find(home, experiment)
    except ConfigError:
        return None
    return found.path if found else None


def fit(home: Home, experiment: Experiment) -> Experiment:
    """Return the experiment with settings filled in from its base, if it has one.

    Settings of the network and the tokenizer that the experiment leaves unset are taken from the
    base.

    Raises:
        ConfigError: There is no such base.
        CheckpointError: The base cannot be read, or the experiment's settings describe another
            network than the base's.
    """
    found = find(home, experiment)
    return fitting.fit(experiment, found.path) if found else experiment


def _path(home: Home, name: str) -> Path:
    if name in bases.SHIPPED:
        path = bases.shipped(name)
        if not path.is_file():
            raise ConfigError(
                f"training.base = {name}: this installation does not contain it (expected {path}); "
                "train it with `make base`, or set training.base=none"
            )
        return path
    path = Path(name)
    if path.suffix == ".safetensors":
        if path.is_file():
            return path
        raise ConfigError(f"training.base = {name}: no such file; check the path")
    try:
        return registry.checkpoint_path(home, registry.resolve(home, name))
    except RegistryError as error:
        raise ConfigError(
            f"training.base = {name}: {error}; expected {', '.join(bases.SHIPPED)}, a registered "
            "model, the path of a .safetensors file, or none"
        ) from error


def export(home: Home, version: Version, to: Path) -> Path:
    """Write a registered model to a file that can serve as a base; return the path of its card.

    The card is a Markdown file next to the base that describes the model and its training text.

    Args:
        home: Home that holds the model and its corpus.
        version: Version to export.
        to: Path of the base's file, which ends in `.safetensors`.

    Raises:
        CorpusError: The text that the model was trained on is missing.
        StorageError: A file cannot be written.
    """
    from rnnlm.bases import weights  # noqa: PLC0415 - imports torch

    path = registry.checkpoint_path(home, version)
    condition = load_description(path).experiment.corpus.condition
    splits = (iter_with_headers(version.corpus_uri, s, condition) for s in ("train", "validation"))
    facts = {"test_bits_per_character": version.test_bits_per_character}
    weights.export(path, chain.from_iterable(splits), to, facts)
    card = to.with_suffix(".md")
    write_bytes(card, visible("\n".join(_card(version, to)) + "\n").encode())
    return card


def _card(version: Version, path: Path) -> Iterator[str]:
    """Yield the lines of a base's card, in Markdown."""
    from rnnlm import checkpoint  # noqa: PLC0415 - imports torch

    loaded = checkpoint.load(path)
    experiment, facts = loaded.experiment, loaded.facts
    entry = catalog().get(experiment.corpus.source)
    yield f"# {path.stem}"
    yield ""
    yield (
        f"{experiment.model.title}, {loaded.model.parameter_count:,} parameters, "
        f"{loaded.tokenizer.vocab_size:,} tokens ({experiment.tokenizer.kind}), "
        f"{path.stat().st_size / 1e6:.2f} MB: 8-bit weights, the tokenizer, and a sample of the "
        "hashes of the 13-word windows of its text."
    )
    yield ""
    command = f"rnnlm train configs/{version.name}.toml"
    yield f"- **Made by** `{command}`, seed {experiment.training.seed}"
    yield (
        f"- **Trained for** {experiment.training.budget} at most; the weights are those of step "
        f"{facts['step']:,}, the best on validation"
    )
    yield (
        f"- **Bits per character** of its own corpus: {version.test_bits_per_character:.3f} on the "
        f"test split, {facts['bits_per_character']:.3f} on validation"
    )
    yield f"- **Digest** sha256 `{file_digest(path)}`"
    yield (
        "- **What it may repeat**: passages of the texts below, mostly names and set phrases. "
        "Trainings that start from it exclude from their scores the text that it has seen, and "
        "audits of generated texts report how much of that text they find (`of the base`)."
    )
    if without := ", ".join(experiment.corpus.clean.without):
        yield f"- **Left out**: passages that contain a word of `{without}`"
    if entry is not None:
        yield f"- **Licence of the text**: {entry.licence}"
        yield ""
        yield "| text | bytes | sha256 |"
        yield "|---|---:|---|"
        for source in entry.sources:
            for file in source.files:
                name = f"[{file.local}]({source.address(file)})"
                yield f"| {name} | {file.bytes:,} | `{file.sha256}` |"
