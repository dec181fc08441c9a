"""Get the checkpoints of registered versions from the artifact store, and verify their contents.

The *artifact store* is where MLflow keeps files: a folder of this home, or a server. The digest of
each checkpoint was recorded when the version was registered.
"""

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from yaml import YAMLError

from flows.registry.packaged import CHECKPOINT_ARTIFACT
from flows.registry.versions import Version, shorten_error
from flows.runtime.addresses import without_passwords
from flows.runtime.home import Home
from flows.runtime.retrying import can_help
from flows.tracking import connect, is_local
from rnnlm.errors import RegistryError, ServerError, StorageError
from rnnlm.storage import atomic_path, is_intact


def checkpoint_path(home: Home, version: Version) -> Path:
    """Return the path of a version's checkpoint, after comparing its content with its digest.

    If the artifact store is on another machine, the checkpoint is fetched and kept in this home, so
    that it is fetched only once. If it is damaged or missing, it is replaced with a copy that is
    intact: the one that training left in this home, or the one in a store on another machine.

    Raises:
        RegistryError: The checkpoint is missing, or damaged and there is no other copy.
        ServerError: The artifact store cannot be reached at the moment.
        StorageError: There is not enough disk space.
    """
    if is_local(home):
        path = _download(home, version, None)
        if not _is_registered(path, version):
            _mend(home, version, path)
        return path
    kept = home.fetched / f"{version.checkpoint}.safetensors"
    if not is_intact(kept, version.checkpoint):
        with TemporaryDirectory() as folder:
            found = _download(home, version, folder)
            if not _is_registered(found, version):
                raise RegistryError(_damaged(version, "the checkpoint in the artifact store"))
            with atomic_path(kept) as temporary:
                shutil.copyfile(found, temporary)
    return kept


def is_whole(home: Home, version: Version) -> bool:
    """Return whether a version's checkpoint is in the artifact store, without fetching it.

    If the store is a folder of this home, the content of the checkpoint is compared with its
    digest.

    Raises:
        ServerError: The artifact store cannot be reached at the moment.
    """
    if is_local(home):
        try:
            return _is_registered(_download(home, version, None), version)
        except RegistryError:
            return False
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


def _is_registered(path: Path, version: Version) -> bool:
    """Return whether a file is the checkpoint that was registered as a version.

    For a version without a digest, which another program registered, any file counts as such.
    """
    return not version.checkpoint or is_intact(path, version.checkpoint)


def _mend(home: Home, version: Version, path: Path) -> None:
    """Replace a damaged or missing checkpoint with the copy that training left in the home.

    Raises:
        RegistryError: There is no intact copy.
    """
    copies = (home.data / "models" / version.name).glob("*/*.safetensors")
    copy = next((copy for copy in copies if is_intact(copy, version.checkpoint)), None)
    if copy is None:
        raise RegistryError(_damaged(version, str(path)))
    fault = "damaged" if path.exists() else "missing"
    with atomic_path(path) as temporary:
        shutil.copyfile(copy, temporary)
    logging.getLogger(__name__).warning("%s was %s; it was replaced with %s", path, fault, copy)


def _damaged(version: Version, what: str) -> str:
    return (
        f"{what} is damaged or missing: it is not the checkpoint that was registered as "
        f"{version.name}/{version.version}; choose another version with `rnnlm rollback "
        f"{version.name}` or `rnnlm promote`, or train again"
    )


def _download(home: Home, version: Version, folder: str | None) -> Path:
    """Return the path of a version's checkpoint, downloaded if the artifact store is not local.

    If the package lacks its checkpoint, it is the path at which the checkpoint should be.

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
    if found := sorted(Path(downloaded).glob("artifacts/*.safetensors")):
        return found[0]
    try:
        packaged = Model.load(downloaded).flavors["python_function"]
        return Path(downloaded, packaged["artifacts"][CHECKPOINT_ARTIFACT]["path"])
    except (MlflowException, OSError, KeyError, TypeError, YAMLError) as error:
        raise RegistryError(
            f"{version.name}/{version.version} holds no checkpoint; choose another version"
        ) from error


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
