"""Interpret a request for generated texts: find the model version, settings and output folder."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import registry
from flows.chain.mending import mend_inputs
from flows.registry import Version, bases
from flows.runtime.home import Home
from rnnlm.config import GenerationConfig, override
from rnnlm.errors import ConfigError
from rnnlm.generation import plan
from rnnlm.generation.manifest import About, Source
from rnnlm.generation.prompt import prefixes_of
from rnnlm.generation.stores import Store
from rnnlm.header import load_description
from rnnlm.storage import file_digest, is_address, value_digest

_NOT_REPEATED = {"--json", "--finish"}
_FLAGS = _NOT_REPEATED | {
    f"--{name.replace('_', '-')}"
    for name, field in GenerationConfig.model_fields.items()
    if field.annotation is bool
}
"""Options of `rnnlm generate` that take no value."""


@dataclass(frozen=True)
class Wanted:
    """A requested data set, with everything that is needed to generate it.

    Attributes:
        version: The model version that generates it.
        checkpoint: Path of that version's checkpoint.
        config: Number of texts and sampling settings.
        out: Folder to write the data set to, used for nothing else.
        store: Where to upload the finished data set; None to keep it in `out`.
        form: Form that each text should have, such as `recipe`.
        source: The corpus that the version was trained on, to compare the texts with; None if it
            is missing.
        prefixes: Path of a text file; each of its lines is the beginning of a text, which the model
            continues. None if not given.
        about: Name and version of the model, and the command that requested the data set; shown on
            the data set's card.
        packed: Folder of packed models; see `rnnlm.engine.loading`.
    """

    version: Version
    checkpoint: Path
    config: GenerationConfig
    out: Path
    store: Store | None
    form: str
    source: Source | None
    prefixes: Path | None
    about: About
    packed: Path


def _naming(named: str, reference: str, words: Sequence[str]) -> list[str]:
    """Return the words of a command with the reference to the model replaced by an exact one.

    Args:
        named: Name and number of the version, as `name/number`.
        reference: Reference to the model in the command, such as `name`, which may mean another
            version later.
        words: Words of the command.
    """
    found = [
        place
        for place, word in enumerate(words)
        if word == reference and place and not _takes_value(words[place - 1])
    ]
    return [named if place in found[:1] else word for place, word in enumerate(words)]


def _takes_value(word: str) -> bool:
    return word.startswith("-") and word not in _FLAGS and "=" not in word


def _command(named: str, changes: Mapping[str, Any], prefixes: Path | None) -> list[str]:
    """Return the words of an `rnnlm generate` command that requests a data set.

    Args:
        named: Reference to the model.
        changes: Generation settings that replace the model's own, by name.
        prefixes: File of prefixes, if any.
    """
    words = ["rnnlm", "generate", named]
    for key, value in changes.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, Mapping):
            words += [word for k, v in value.items() for word in (option, f"{k}={v}")]
        elif isinstance(value, list | tuple):
            words += [word for one in value for word in (option, str(one))]
        elif value is not None and value is not False:
            words += [option, str(value)]
    return [*words, "--prefixes", str(prefixes)] if prefixes else words


def _place(home: Home, out: str | None, named: str) -> tuple[Path, Store | None]:
    """Return the folder of a data set, and the store that it is uploaded to, if any.

    Args:
        home: Home that holds the data sets.
        out: What the user gave: a folder, an address or nothing.
        named: Name of the data set after version and settings.
    """
    if out is None:
        return home.data / "generated" / named, None
    if is_address(out):
        store = Store(out)
        return home.data / "outgoing" / value_digest([store.address, named])[:16], store
    return Path(out), None


def prepare(
    home: Home,
    reference: str,
    changes: Mapping[str, Any],
    prefixes: Path | None,
    out: str | None,
    command: Sequence[str],
) -> Wanted:
    """Check a request for texts, and return it with all defaults filled in.

    Nothing is written, except that a damaged corpus or n-gram model of the version is rebuilt.

    Args:
        home: Home that holds the models and data sets.
        reference: Reference to a model: name, name@alias or name/version.
        changes: Generation settings that replace the model's own, by name; a value of None changes
            nothing.
        prefixes: Path of a text file; each of its lines is the beginning of a text. None for none.
        out: Folder, or address of an object store, to write the data set to; None for a folder
            named after version and settings.
        command: Words of the command line, to be shown on the data set's card; if empty, an
            equivalent command is shown.

    Raises:
        RegistryError: There is no such version, or its files are missing or damaged.
        CorpusError: The version's corpus or n-gram model is damaged and cannot be rebuilt.
        ConfigError: A setting is out of range, an address cannot be used, the file of prefixes does
            not exist, or neither a number of texts nor prefixes are given.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: The model was not trained with the requested attributes.
        TokenizerError: A prefix contains characters that the vocabulary lacks.
    """
    version = registry.resolve(home, reference)
    path = registry.checkpoint_path(home, version)
    described = load_description(path)
    experiment = described.experiment
    mend_inputs(home, version, experiment)
    if prefixes is not None and not prefixes.is_file():
        raise ConfigError(
            f"--prefixes {prefixes}: no such file; give a text file, one prefix per line"
        )
    given = prefixes_of(experiment.generation, prefixes) if prefixes else []
    if changes.get("count") is None and not given:
        raise ConfigError("number of texts not given; set --count, such as --count 1000, 20k or 1M")
    count = {"count": changes.get("count") or len(given)}
    config = override(experiment.generation, {**changes, **count})
    identity = config.model_dump(exclude={"batch_size"})
    key = value_digest([identity, file_digest(prefixes) if prefixes else None])[:8]
    folder, store = _place(home, out, f"{version.name}/v{version.version}-{key}")
    source = None
    if Path(version.corpus_uri).is_dir():
        baseline = Path(version.baseline)
        source = Source(
            uri=version.corpus_uri,
            digest=version.corpus_digest,
            baseline=baseline if version.baseline and baseline.is_file() else None,
            base=bases.path_if_there(home, experiment),
        )
    plan.check(described, config, prefixes, source)
    named = f"{version.name}/{version.version}"
    words = command or _command(named, changes, prefixes)
    words = [word for word in _naming(named, reference, words[1:]) if word not in _NOT_REPEATED]
    command_line = shlex.join(["rnnlm", *words])
    about = About(
        name=version.name,
        version=str(version.version),
        command=command_line,
        canaries=version.canaries,
    )
    form = experiment.corpus.form
    return Wanted(version, path, config, folder, store, form, source, prefixes, about, home.packed)
