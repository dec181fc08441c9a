"""Find the checkpoint that a user means by a name, a version, an alias or a path."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from flows.lookup.entries import Entry, read
from flows.lookup.references import CHAMPION, choose
from flows.runtime.home import Home
from rnnlm.engine.loading import checkpoint_in, user_folder
from rnnlm.errors import RegistryError

BASE = "english"


@dataclass(frozen=True)
class Found:
    """A model that was found.

    Attributes:
        name: What it is called: `name/version`, or a path.
        checkpoint: Path of its checkpoint.
        folder: Folder for its packed form; see `rnnlm.engine.loading`.
        digest: sha256 of its checkpoint; None if it is not known.
    """

    name: str
    checkpoint: Path
    folder: Path
    digest: str | None = None


def find(home: Home, model: str) -> Found:
    """Return the model that a user means.

    A name of the registry takes precedence over a path, unless the path begins with `.` or `/`, or
    ends in `.safetensors`.

    Args:
        home: Home that holds the registry.
        model: `name`, `name@alias` or `name/version`; the path of a checkpoint or of a folder that
            holds one; or `english`, the base that comes with the package.

    Raises:
        RegistryError: There is no such version, or its files are missing.
        CheckpointError: There is no checkpoint at that path.
    """
    path = Path(model)
    is_path = model.startswith((".", "/", "~")) or path.suffix == ".safetensors"
    if is_path:
        return of_path(path.expanduser())
    entries = read(home)
    if entries is None:
        return _with_mlflow(home, model)
    try:
        name, number = choose(
            model,
            entries.versions,
            lambda name: sorted(entries.versions[name], reverse=True),
            lambda name: entries.aliases[name],
        )
    except RegistryError:
        if path.exists():
            return of_path(path)
        if model == BASE:
            return of_base()
        raise
    entry = entries.versions[name][number]
    checkpoint = _checkpoint(home, entry)
    if checkpoint is None:
        return _with_mlflow(home, f"{name}/{number}")
    return Found(f"{name}/{number}", checkpoint, home.packed, entry.digest or None)


def find_default(home: Home) -> tuple[Found, str]:
    """Return the only champion of a home, or else the base that comes with the package.

    Returns:
        The model, and in a few words why it is the base; empty for the champion.

    Raises:
        CheckpointError: This installation does not contain the base.
    """
    champions = _champions(home)
    if len(champions) == 1:
        return find(home, champions[0]), ""
    why = "there is no champion here yet"
    if champions:
        why = f"there are {len(champions)} champions here: {', '.join(champions)}"
    return of_base(), why


def _champions(home: Home) -> list[str]:
    """Return the names of all models that have a champion."""
    entries = read(home)
    if entries is not None:
        return sorted(name for name, held in entries.aliases.items() if CHAMPION in held)
    from flows import registry  # noqa: PLC0415 - imports MLflow, which takes seconds

    return sorted(v.name for v in registry.versions(home) if v.alias == CHAMPION)


def of_base() -> Found:
    """Return the base that comes with the package."""
    from importlib import resources  # noqa: PLC0415

    file = resources.files("rnnlm.bases").joinpath(f"base-{BASE}.safetensors")
    return Found(f"base {BASE}", Path(str(file)), user_folder())


def of_path(path: Path) -> Found:
    """Return the model in a file or folder."""
    return Found(str(path), checkpoint_in(path), user_folder())


def _checkpoint(home: Home, entry: Entry) -> Path | None:
    """Return the path of a version's checkpoint; None if only MLflow can find or fetch it."""
    places = [home.fetched.glob(f"{entry.digest}.safetensors")] if entry.digest else []
    if entry.folder is not None:
        places.append(entry.folder.glob("artifacts/*.safetensors"))
    return next(chain.from_iterable(places), None)


def _with_mlflow(home: Home, reference: str) -> Found:
    from flows import registry  # noqa: PLC0415 - imports MLflow, which takes seconds

    version = registry.resolve(home, reference)
    checkpoint = registry.checkpoint_path(home, version)
    name = f"{version.name}/{version.version}"
    return Found(name, checkpoint, home.packed, version.checkpoint)
