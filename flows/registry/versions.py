"""Find versions of models in the registry: by name, number, alias or checkpoint.

The registry is MLflow's model registry. The *artifact store* is where MLflow keeps files: a folder
of this home, or a server.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict

from flows.lookup.entries import CHECKPOINT_TAG
from flows.lookup.references import ALIASES, choose
from flows.runtime.addresses import without_passwords
from flows.runtime.home import Home
from flows.runtime.retrying import can_help
from flows.tracking import connect, is_local
from rnnlm.errors import RegistryError, ServerError, StorageError
from rnnlm.storage import atomic_path, file_digest

PLACED_TAG = "placed"
"""Tag of a version that is set once the version has been made champion or challenger. A version
without it is registered, but the gate has not finished judging it."""


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
        kept = self.model_dump(exclude={"name", "version", "alias", "run_id"})
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


def checkpoint_path(home: Home, version: Version) -> Path:
    """Return the path of a version's checkpoint.

    If the artifact store is on another machine, the checkpoint is fetched and kept in this home, so
    that it is fetched only once.

    Raises:
        RegistryError: The checkpoint is missing, or is not the one that was registered.
        ServerError: The artifact store cannot be reached at the moment.
        StorageError: There is not enough disk space.
    """
    if is_local(home):
        return _download(home, version, None)
    kept = home.fetched / f"{version.checkpoint}.safetensors"
    if not kept.is_file():
        with TemporaryDirectory() as folder:
            found = _download(home, version, folder)
            if file_digest(found) != version.checkpoint:
                raise RegistryError(
                    f"the checkpoint of {version.name}/{version.version} in the artifact store is "
                    "not the one that was registered; train again or choose another version"
                )
            with atomic_path(kept) as temporary:
                shutil.copyfile(found, temporary)
    return kept


def is_whole(home: Home, version: Version) -> bool:
    """Return whether a version's checkpoint is in the artifact store, without fetching it.

    Raises:
        ServerError: The artifact store cannot be reached at the moment.
    """
    connect(home)
    mlflow.set_tracking_uri(home.tracking_uri)
    place = f"models:/{version.name}/{version.version}/artifacts"
    try:
        found = mlflow.artifacts.list_artifacts(place)
    except (MlflowException, OSError) as error:
        if _passes(error):
            raise _unreachable(version, error) from error
        return False
    return any(item.path.endswith(".safetensors") for item in found)


def _download(home: Home, version: Version, folder: str | None) -> Path:
    """Return the path of a version's checkpoint, downloaded if the artifact store is not local.

    Args:
        home: Home that names the MLflow store.
        version: The version.
        folder: Folder to download to; None if the artifact store is local.
    """
    connect(home)
    mlflow.set_tracking_uri(home.tracking_uri)
    place = f"models:/{version.name}/{version.version}"
    try:
        downloaded = mlflow.artifacts.download_artifacts(place, dst_path=folder)
    except (MlflowException, OSError) as error:
        if "No space left" in str(error):
            raise StorageError(
                f"no space for {version.name}/{version.version} ({shorten_error(error)}); free some"
            ) from error
        if _passes(error):
            raise _unreachable(version, error) from error
        raise RegistryError(
            f"the files of {version.name}/{version.version} are missing from the artifact store "
            f"({shorten_error(error)}); train again or choose another version"
        ) from error
    found = sorted(Path(downloaded).glob("artifacts/*.safetensors"))
    if not found:
        raise RegistryError(
            f"{version.name}/{version.version} holds no checkpoint; choose another version"
        )
    return found[0]


def _passes(error: Exception) -> bool:
    """Return whether an error means that the artifact store cannot be reached at the moment.

    False means that the store was reached, but the file is missing.
    """
    return not isinstance(error, FileNotFoundError) and can_help(error)


def _unreachable(version: Version, error: Exception) -> ServerError:
    return ServerError(
        f"the artifact store does not return {version.name}/{version.version} "
        f"({without_passwords(shorten_error(error))}); try again when it answers"
    )


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
    described = [_described(version, models[version.name].aliases) for version in found]
    return sorted(described, key=lambda version: (version.name, -version.version))


def read(home: Home, version: ModelVersion) -> Version:
    """Return the version that an entry of MLflow's registry describes.

    If the version has several aliases, the first in the order of `ALIASES` is chosen.
    """
    return _described(version, connect(home).get_registered_model(version.name).aliases)


def _described(version: ModelVersion, aliases: Mapping[str, str]) -> Version:
    held = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
    values: dict[str, Any] = {
        key: json.loads(value) if key in ("test_bits_per_character", "condition") else value
        for key, value in version.tags.items()
        if key in Version.model_fields
    }
    return Version(
        name=version.name,
        version=int(version.version),
        alias=next((alias for alias in ALIASES if alias in held), None),
        run_id=version.run_id or "",
        checkpoint=version.tags.get(CHECKPOINT_TAG, ""),
        **values,
    )


def shorten_error(error: BaseException) -> str:
    """Return the first line of an error's message, cut to 120 characters."""
    return str(error).strip().split("\n")[0][:120]


def _newest_where(home: Home, name: str, condition: str) -> Version | None:
    found = connect(home).search_model_versions(f"name = '{name}' and {condition}")
    last = max(found, key=lambda version: int(version.version), default=None)
    return read(home, last) if last else None
