"""Delete versions that the user names, with everything that only they need.

A version's package, its MLflow run, and the steps that it was made by or that were made from it are
deleted too, unless something that stays needs them. Data sets that it generated stay. The version
is deleted first; if the process is killed after that, housekeeping removes the rest.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from flows import registry
from flows.cleanup import leftovers, referenced, removing, step_folders
from flows.cleanup.leftovers import Found, look
from flows.cleanup.mlflow_store import Registered
from flows.cleanup.rules import Leftover, Rules, size_of
from flows.registry import CHAMPION, Version
from flows.registry.aliases import moving
from flows.runtime import backups, locks, model_locks
from flows.runtime.home import Home
from flows.tracking import connect
from rnnlm.errors import RegistryError


@dataclass(frozen=True)
class Deletion:
    """What is to be deleted.

    Attributes:
        versions: The versions, newest first.
        leftovers: Everything that is deleted, in the order of its removal; the versions come first.
        data_sets: Folders of data sets that these versions generated, which stay.
        is_whole_model: Whether no version of the model stays.
        champion: The champion, if it is among the versions.
    """

    versions: tuple[Version, ...]
    leftovers: tuple[Leftover, ...]
    data_sets: tuple[Path, ...]
    is_whole_model: bool
    champion: Version | None

    @property
    def bytes(self) -> int:
        """Bytes on disk that the deletion frees."""
        return sum(leftover.bytes for leftover in self.leftovers)


def plan(home: Home, reference: str, now: float, *, force: bool = False) -> Deletion:
    """Return what the deletion of a version, or of all versions of a model, deletes.

    Args:
        home: Home that holds the model.
        reference: `name` for all versions, or `name/version` or `name@alias` for one.
        now: Current time, in seconds since 1970.
        force: Whether the champion may be deleted.

    Raises:
        RegistryError: There is no such version; or it is the champion, and `force` is false.
    """
    return _plan(home, reference, now, force)[0]


def delete(home: Home, reference: str, now: float, *, force: bool = False) -> Deletion:
    """Delete a version or all versions of a model; return what was deleted.

    Args:
        home: Home that holds the model.
        reference: `name` for all versions, or `name/version` or `name@alias` for one.
        now: Current time, in seconds since 1970.
        force: Whether the champion may be deleted.

    Raises:
        RegistryError: There is no such version; or it is the champion, and `force` is false; or a
            command is working on the model.
    """
    name = reference.partition("@")[0].partition("/")[0]
    home.mlruns.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(locks.registering(home)),
        moving(home, name),
        model_locks.alone(home, name) as is_free,
    ):
        deletion, found = _plan(home, reference, now, force)
        if not is_free or any(map(step_folders.is_held, _locks(home, name))):
            raise RegistryError(
                f"a command is working on {name}; delete it when that has ended, or end it first"
            )
        backups.back_up(home)
        client = connect(home)
        doomed = {str(version.version) for version in deletion.versions}
        for alias, number in client.get_registered_model(name).aliases.items():
            if str(number) in doomed:
                client.delete_registered_model_alias(name, alias)
        gone = [leftover for leftover in deletion.leftovers if removing.remove(found, leftover)]
        if deletion.is_whole_model:
            client.delete_registered_model(name)
        backups.back_up(home)
    return replace(deletion, leftovers=tuple(gone))


def _plan(home: Home, reference: str, now: float, force: bool) -> tuple[Deletion, Found]:
    name, is_whole = reference, not {"@", "/"} & {*reference}
    if is_whole:
        chosen = registry.versions(home, name)
        if not chosen and not connect(home).search_registered_models(f"name = '{name}'"):
            registry.resolve(home, name)  # raises an error that names those there are
    else:
        chosen = [registry.resolve(home, reference)]
        name = chosen[0].name
    champion = registry.by_alias(home, name, CHAMPION)
    numbers = {version.version for version in chosen}
    if champion is not None and champion.version in numbers and not force:
        others = sorted({v.version for v in registry.versions(home, name)} - numbers)
        how = f"promote another version first (there are: {', '.join(map(str, others))})"
        raise RegistryError(
            f"{name}/{champion.version} is the champion; "
            f"{how + ', or add' if others else 'add'} --force to delete it"
        )
    found = _without(look(home, Rules(0, 1, now), set()), name, numbers)
    doomed = [v for v in found.versions if v not in found.kept]
    rest = {v.version.version for v in found.versions if v.version.name == name} - numbers
    deletion = Deletion(
        versions=tuple(chosen),
        leftovers=tuple(_all(found, doomed)),
        data_sets=tuple(_data_sets(home, chosen)),
        is_whole_model=not rest,
        champion=champion if champion is not None and champion.version in numbers else None,
    )
    return deletion, found


def _without(found: Found, name: str, numbers: set[int]) -> Found:
    """Return the contents of a home with all versions kept but those to delete.

    The steps that stay are those that the kept versions need, and those that no version needs.
    """
    doomed = [v for v in found.versions if v.version.name == name and _number(v) in numbers]
    kept = [v for v in found.versions if v not in doomed]
    needed = referenced.kept_steps(found.folders, kept, found.rules, set())
    before = referenced.kept_steps(found.folders, found.versions, found.rules, set())
    others = {folder.path for folder in found.folders} - before
    digests = {v.version.checkpoint for v in kept if v.version.name == name}
    own = {  # other models may have the same checkpoints; they have their own folders of it
        folder.path
        for folder in found.folders
        if folder.name == name
        and folder.kind == "models"
        and folder.digest in {v.version.checkpoint for v in doomed} - digests
    }
    return replace(found, kept=kept, staying=(needed | others) - own, busy=set())


def _all(found: Found, doomed: list[Registered]) -> Iterator[Leftover]:
    """Yield what is deleted with some versions, in the order of its removal."""
    named = {f"{v.version.name}/{v.version.version}" for v in doomed}
    digests = {v.version.checkpoint for v in doomed} - {v.version.checkpoint for v in found.kept}
    runs = {v.version.run_id for v in doomed} - {v.version.run_id for v in found.kept}
    listed = [*leftovers.leftovers(found)]
    yield from (one for one in listed if one.kind == "version" and one.what in named)
    for run in found.runs:
        if run.info.run_id in runs:
            folder = found.store.folder_of(run.info.artifact_uri)
            size = size_of(folder) if folder else 0
            experiment = found.experiments[run.info.experiment_id]
            yield Leftover("run", experiment, run.info.run_id, size, 0.0, "its version goes")
    for one in listed:
        is_form = one.kind in ("fetched", "packed") and one.path and one.path.stem in digests
        if one.kind == "step" or is_form:
            yield one


def _data_sets(home: Home, versions: list[Version]) -> Iterator[Path]:
    """Yield the folders of data sets in the home that some versions generated."""
    for version in versions:
        folder = home.data / "generated" / version.name
        for path in sorted(folder.glob("[!.]*/")):
            with suppress(OSError):
                claimed = referenced.claims_of(path)
                if (version.name, version.version) in claimed.versions:
                    yield path


def _number(registered: Registered) -> int:
    return registered.version.version


def _locks(home: Home, name: str) -> Iterator[Path]:
    for folder in step_folders.name_folders(home):
        if folder.name == name:
            yield from step_folders.lock_files(folder)
