"""Find versions of models in the registry: by name, number, alias or checkpoint.

The registry is MLflow's model registry.
"""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.lookup.entries import CHECKPOINT_TAG
from flows.lookup.references import ALIASES, choose
from flows.runtime.home import Home
from flows.tracking import connect
from rnnlm.canaries import ExposureRow
from rnnlm.errors import RegistryError
from rnnlm.saved import first_fault, parse_json

PLACED_TAG = "placed"
"""Tag of a version that is set once the version has been made champion or challenger. A version
without it is registered, but the gate has not finished judging it."""

_AS_JSON = {"test_bits_per_character", "condition", "canaries"}
"""Attributes of a version whose tags are JSON; the others are plain text."""
_PATHS = ("corpus_uri", "baseline")


class Version(BaseModel):
    """A version of a model in the registry.

    The attributes from `reason` on are stored in MLflow as tags of the version.

    Attributes:
        name: Name of the model.
        version: Number of the version, counted from 1.
        alias: `champion`, `challenger`, `previous`, or None.
        run_id: Id of the MLflow run of its training.
        reason: Why it is champion or challenger.
        test_bits_per_character: Bits per character on the test split when it was registered; lower
            is better.
        checkpoint: sha256 of its checkpoint.
        corpus_digest: Digest of the corpus that it was trained on.
        corpus_uri: Folder with the documents of that corpus.
        source_digest: Digest of the source files that the corpus was read from.
        recipe: Digest of the tokens, the network, the training settings and the base; versions with
            the same recipe can differ only in their initial weights.
        started_from: sha256 of the checkpoint with its initial weights; empty for random weights.
        baseline: Path of the checkpoint of its n-gram model.
        condition: Names of the attributes in the header before each text.
        canaries: What it remembers of the canaries in its training text, by how often they were
            planted; empty if it was trained without.
        imported_from: Name, number and aliases that it had in the home that it was imported from;
            empty if it was trained here.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    alias: str | None = None
    run_id: str = ""
    reason: str = ""
    test_bits_per_character: float = float("nan")
    checkpoint: str = ""
    corpus_digest: str = ""
    corpus_uri: str = ""
    source_digest: str = ""
    recipe: str = ""
    started_from: str = ""
    baseline: str = ""
    condition: tuple[str, ...] = ()
    canaries: tuple[ExposureRow, ...] = ()
    imported_from: str = ""

    @property
    def described(self) -> str:
        """Name, number, alias and reason, in one line."""
        alias = f" @{self.alias}" if self.alias else ""
        return f"{self.name}/{self.version}{alias}, {self.reason}"

    @property
    def verdict(self) -> str:
        """Name, number and the gate's reason, in one line; unlike the alias, these never change."""
        return f"{self.name}/{self.version}: {self.reason}"

    def tags(self) -> dict[str, str]:
        """Return the tags to store in the registry, from which `read` restores the version."""
        unused = {name for name in ("canaries", "imported_from") if not getattr(self, name)}
        kept = self.model_dump(exclude={"name", "version", "alias", "run_id"} | unused)
        checkpoint = kept.pop("checkpoint")
        written = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in kept.items()
        }
        return {CHECKPOINT_TAG: checkpoint, **written}


def find(home: Home, name: str, digest: str) -> Version | None:
    """Return the newest version of a model that holds a checkpoint, or None.

    Args:
        home: Home that holds the registry.
        name: Name of the model.
        digest: sha256 of the checkpoint.
    """
    return _newest_where(home, name, f"tags.`{CHECKPOINT_TAG}` = '{digest}'")


def newest(home: Home, name: str, recipe: str | None = None) -> Version | None:
    """Return the newest version of a model that was ever champion or challenger, or None.

    Args:
        home: Home that holds the registry.
        name: Name of the model.
        recipe: If given, only versions with this recipe are considered.
    """
    condition = f"tags.`{PLACED_TAG}` = 'yes'"
    return _newest_where(
        home, name, condition + (f" and tags.recipe = '{recipe}'" if recipe else "")
    )


def resolve(home: Home, reference: str) -> Version:
    """Return the version that a reference (`name`, `name@alias` or `name/version`) refers to.

    A name alone refers to the champion or, if there is no champion yet, to the challenger.

    Raises:
        RegistryError: There is no such version; the message lists those that exist.
    """
    client = connect(home)
    models = {model.name: model for model in client.search_registered_models(max_results=1000)}
    name, number = choose(
        reference,
        models,
        lambda name: [version.version for version in versions(home, name)],
        lambda name: {alias: int(number) for alias, number in models[name].aliases.items()},
    )
    return read(home, client.get_model_version(name, str(number)))


def by_alias(home: Home, name: str, alias: str) -> Version | None:
    """Return the version of a model that has an alias, or None if no version has it."""
    try:
        return read(home, connect(home).get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions(home: Home, name: str | None = None) -> list[Version]:
    """Return the versions of one model or of all models, by name and then from newest to oldest."""
    client, condition = connect(home), f"name = '{name}'" if name else None
    models = {model.name: model for model in client.search_registered_models(condition, 1000)}
    found = client.search_model_versions(condition)
    described = [_described(home, version, models[version.name].aliases) for version in found]
    return sorted(described, key=lambda version: (version.name, -version.version))


def read(home: Home, version: ModelVersion) -> Version:
    """Return the version that an entry of MLflow's registry describes.

    If the version has several aliases, the result has the one that comes first in `ALIASES`.
    """
    return _described(home, version, connect(home).get_registered_model(version.name).aliases)


def _described(home: Home, version: ModelVersion, aliases: Mapping[str, str]) -> Version:
    held = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
    values: dict[str, Any] = {
        key: value for key, value in version.tags.items() if key in Version.model_fields
    }
    for key in _PATHS:
        if values.get(key):
            values[key] = str(home.root / values[key])  # relative to the home, or absolute
    try:
        for key in _AS_JSON:
            if key in values:
                values[key] = parse_json(values[key], Any)
        return Version(
            name=version.name,
            version=int(version.version),
            alias=next((alias for alias in ALIASES if alias in held), None),
            run_id=version.run_id or "",
            checkpoint=version.tags.get(CHECKPOINT_TAG, ""),
            **values,
        )
    except (ValueError, TypeError) as error:
        why = first_fault(error) if isinstance(error, ValidationError) else error
        raise RegistryError(
            f"the tags of {version.name}/{version.version} are damaged ({why}); correct them on "
            "MLflow's page"
        ) from error


def shorten_error(error: BaseException) -> str:
    """Return the first line of an error's message, cut to 120 characters."""
    return str(error).strip().split("\n")[0][:120]


def _newest_where(home: Home, name: str, condition: str) -> Version | None:
    found = connect(home).search_model_versions(f"name = '{name}' and {condition}")
    last = max(found, key=lambda version: int(version.version), default=None)
    return read(home, last) if last else None
