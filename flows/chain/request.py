"""Interpret a request for texts: find its version, its settings and its folder."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import registry
from flows.registry import Version, bases
from flows.runtime.home import Home
from rnnlm import checkpoint
from rnnlm.config import GenerationConfig, override
from rnnlm.errors import ConfigError
from rnnlm.generation import job
from rnnlm.generation.manifest import About, Source
from rnnlm.generation.shard_sampling import prefixes_of
from rnnlm.storage import file_digest, value_digest

_NOT_REPEATED = {"--json"}
_FLAGS = {"--unique", "--novel-only", "--valid-only", *_NOT_REPEATED}
"""Options that take no value."""


@dataclass(frozen=True)
class Wanted:
    """A requested data set.

    Attributes:
        version: The version that generates it.
        checkpoint: Checkpoint file of that version.
        config: Number of texts and sampling settings.
        out: Folder for this job only.
        form: Form that each text should have.
        source: Training corpus, to compare the texts with; None if it is missing.
        prefixes: File whose lines the texts continue; optional.
        about: Description of the model and the command, for the card.
    """

    version: Version
    checkpoint: Path
    config: GenerationConfig
    out: Path
    form: str
    source: Source | None
    prefixes: Path | None
    about: About


def _naming(named: str, reference: str, words: Sequence[str]) -> list[str]:
    """Return a command's words with the model's reference replaced by `named`."""
    found = [
        place
        for place, word in enumerate(words)
        if word == reference and place and not _takes_value(words[place - 1])
    ]
    return [named if place in found[:1] else word for place, word in enumerate(words)]


def _takes_value(word: str) -> bool:
    return word.startswith("-") and word not in _FLAGS and "=" not in word


def _command(named: str, changes: Mapping[str, Any], prefixes: Path | None) -> list[str]:
    """Return the words of the command that requests these changes."""
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


def prepare(
    home: Home,
    reference: str,
    changes: Mapping[str, Any],
    prefixes: Path | None,
    out: Path | None,
    command: Sequence[str],
) -> Wanted:
    """Check a request and return it in full; write nothing.

    Args:
        home: Home that holds the models and data sets.
        reference: Reference to a model: name, name@alias or name/version.
        changes: Changes to the model's own generation settings; a value of None changes nothing.
        prefixes: File whose lines the texts continue.
        out: Folder of the data set; None for one named after version and settings.
        command: Command line, for the card.

    Raises:
        RegistryError: There is no such version, or its files are missing.
        ConfigError: A setting is out of range, or neither count nor prefixes are given.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: The model was not trained with the given attributes.
        TokenizerError: A prefix has characters that the vocabulary lacks.
    """
    version = registry.resolve(home, reference)
    path = registry.checkpoint_path(home, version)
    loaded = checkpoint.load(path)
    experiment = loaded.experiment
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
    folder = out or home.data / "generated" / version.name / f"v{version.version}-{key}"
    source = None
    if Path(version.corpus_uri).is_dir():
        baseline = Path(version.baseline)
        source = Source(
            uri=version.corpus_uri,
            digest=version.corpus_digest,
            baseline=baseline if version.baseline and baseline.is_file() else None,
            base=bases.path_if_there(home, experiment),
        )
    job.check(loaded, config, prefixes, source)
    named = f"{version.name}/{version.version}"
    words = command or _command(named, changes, prefixes)
    words = [word for word in _naming(named, reference, words[1:]) if word not in _NOT_REPEATED]
    command_line = shlex.join(["rnnlm", *words])
    about = About(name=version.name, version=str(version.version), command=command_line)
    form = experiment.corpus.form
    return Wanted(version, path, config, folder, form, source, prefixes, about)
