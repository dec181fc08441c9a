"""Find leftovers: files and contents of MLflow that can be removed.

An item is a leftover if no rule keeps it and nothing that is kept refers to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run, ViewType

from flows.cleanup import referenced, step_folders
from flows.cleanup.mlflow_store import MARK_TAG, Registered, Store
from flows.cleanup.rules import DAY_SECONDS, SILENT_SECONDS, Leftover, Rules, size_of
from flows.cleanup.step_folders import StepFolder
from flows.lookup.entries import CHECKPOINT_TAG
from flows.runtime import locks
from flows.runtime.home import Home
from flows.tracking.runs import TRAIN_KEY_TAG
from flows.tracking.texts import KIND_TAG
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.storage import is_temporary
from rnnlm.training.trained import GOOD_FILE, LAST_FILE

GOING_SUFFIX = ".going"  # end of the name of a step's folder while it is being removed
LOG_BYTES = 10_000_000
"""A log of more than this many bytes is cut to its last `LOG_KEPT_BYTES`."""
LOG_KEPT_BYTES = 1_000_000
_GOING = re.compile(rf"\.[0-9a-f]{{16}}{re.escape(GOING_SUFFIX)}")


@dataclass(frozen=True)
class Found:
    """Contents of a home and its MLflow store, read once, and what of it stays.

    Attributes:
        home: The home.
        rules: How much to keep.
        store: The MLflow store.
        busy: Names of models that a process is working on; everything with such a name stays.
        folders: All step folders.
        experiments: Name of the model of each MLflow experiment, by id.
        runs: All MLflow runs.
        versions: All registered versions, newest first within a model.
        kept: The versions that stay.
        staying: Paths of the step folders that stay.
    """

    home: Home
    rules: Rules
    store: Store
    busy: set[str]
    folders: list[StepFolder]
    experiments: dict[str, str]
    runs: list[Run]
    versions: list[Registered]
    kept: list[Registered]
    staying: set[Path]


def look(home: Home, rules: Rules, also_busy: set[str]) -> Found:
    """Read a home and its MLflow store, and decide what stays.

    Args:
        home: The home.
        rules: How much to keep.
        also_busy: Names of models that Prefect flow runs are working on.
    """
    store = Store(home)
    folders = step_folders.read(home)
    experiments = store.experiments()
    known = {*experiments.values(), *(folder.name for folder in folders)}
    busy = step_folders.busy_names(home) | (also_busy & known)
    runs = store.runs([*experiments])
    elsewhere = [Path(run.data.tags["rnnlm.data_set"]) for run in runs if _is_generation(run)]
    versions = store.versions()
    used = {f.digest: f.used for f in folders if f.kind == "models" and f.digest}
    claimed = referenced.claims(home, elsewhere)
    kept = referenced.kept_versions(home, versions, rules, claimed, used)
    kept += [v for v in versions if v.version.name in busy and v not in kept]
    staying = referenced.kept_steps(folders, kept, rules, busy)
    return Found(home, rules, store, busy, folders, experiments, runs, versions, kept, staying)


def leftovers(found: Found) -> Iterator[Leftover]:
    """Yield everything that can be removed from the home and from MLflow."""
    yield from _versions(found)
    yield from _models(found)
    yield from _runs(found)
    yield from _steps(found)
    yield from _rests(found)
    yield from _logs(found)


def _versions(found: Found) -> Iterator[Leftover]:
    kept = {v.model_id for v in found.kept}
    models = {m.model_id: m for m in found.store.models([*found.experiments])}
    for registered in found.versions:
        if registered in found.kept:
            continue
        version, model = registered.version, models.get(registered.model_id)
        folder = found.store.folder_of(model.artifact_location) if model else None
        goes_too = folder is not None and registered.model_id not in kept
        yield Leftover(
            kind="version",
            name=version.name,
            what=f"{version.name}/{version.version}",
            bytes=size_of(folder) if folder and goes_too else 0,
            days=found.rules.days(registered.created),
            why=f"no alias, not among the newest {found.rules.keep_versions}, no data set names it",
        )


def _models(found: Found) -> Iterator[Leftover]:
    """Yield packaged models (models logged to MLflow) that no version refers to.

    They remain if a removal, or the run that packaged the model, was interrupted.
    """
    named = {v.model_id for v in found.versions}
    ours = {run.info.run_id for run in found.runs if _is_training(run)}
    for model in found.store.models([*found.experiments]):
        is_marked = MARK_TAG in model.tags
        created = model.creation_timestamp / 1000
        is_old = model.source_run_id in ours and found.rules.is_old(created)
        name = found.experiments[model.experiment_id]
        if model.model_id in named or name in found.busy or not (is_marked or is_old):
            continue
        folder = found.store.folder_of(model.artifact_location)
        yield Leftover(
            kind="packaged model",
            name=name,
            what=model.model_id,
            bytes=size_of(folder) if folder else 0,
            days=found.rules.days(created),
            why="no version names it",
        )


def _runs(found: Found) -> Iterator[Leftover]:
    rules = found.rules
    needed = {v.version.run_id for v in found.kept}
    checkpoints = {v.version.checkpoint for v in found.kept}
    versions = {f"{v.version.name}/{v.version.version}" for v in found.kept}
    steps = {path.name for path in found.staying}
    for run in found.runs:
        tags, info = run.data.tags, run.info
        name = found.experiments[info.experiment_id]
        ended = (info.end_time or info.start_time) / 1000
        is_running = info.status == "RUNNING"
        if name in found.busy or not (_is_training(run) or _is_generation(run)):
            continue
        if is_running and not _is_dead(found, run, name):
            continue
        belongs = (
            info.run_id in needed
            or tags.get(CHECKPOINT_TAG) in checkpoints
            or tags.get(TRAIN_KEY_TAG) in steps
            or tags.get("rnnlm.model_version") in versions
            or (_is_generation(run) and (Path(tags["rnnlm.data_set"]) / MANIFEST_FILE).is_file())
        )
        if not belongs and rules.is_old(ended):
            folder = found.store.folder_of(info.artifact_uri)
            size = size_of(folder) if folder else 0
            why = "no kept version has its checkpoint"
            if _is_generation(run):
                why = "the version that wrote it is not kept, and its data set is missing"
            yield Leftover("run", name, info.run_id, size, rules.days(ended), why)
        elif is_running:
            why = "its process has ended: set to KILLED"
            yield Leftover("stale run", name, info.run_id, 0, rules.days(ended), why)
    if not found.store.removes_for_good:
        return
    for run in found.store.runs([*found.experiments], ViewType.DELETED_ONLY):
        if MARK_TAG in run.data.tags:
            name, ended = found.experiments[run.info.experiment_id], run.info.start_time / 1000
            folder = found.store.folder_of(run.info.artifact_uri)
            size = size_of(folder) if folder else 0
            why = "its removal was interrupted"
            yield Leftover("run", name, run.info.run_id, size, rules.days(ended), why)


def _is_dead(found: Found, run: Run, name: str) -> bool:
    """Return whether the process of an MLflow run with status RUNNING has ended.

    It has if no process holds the lock of the training step and no point has been logged for
    `SILENT_SECONDS`. On a server that several machines share, the run may belong to another
    machine, whose locks are not visible here; so a run without a lock file here counts as alive.

    Args:
        found: Contents of the home.
        run: The MLflow run.
        name: Name of the model.
    """
    key = run.data.tags.get(TRAIN_KEY_TAG, "")
    lock = locks.step(found.home.data / "models" / name / key) if key else None
    if lock is not None and step_folders.is_held(lock):
        return False
    if not found.store.is_here and (lock is None or not lock.is_file()):
        return False
    return found.rules.now - found.store.last_word(run) > SILENT_SECONDS


def _is_training(run: Run) -> bool:
    tags = run.data.tags
    return not tags.get(KIND_TAG) and (CHECKPOINT_TAG in tags or TRAIN_KEY_TAG in tags)


def _is_generation(run: Run) -> bool:
    return run.data.tags.get(KIND_TAG) == "generation" and "rnnlm.data_set" in run.data.tags


def _steps(found: Found) -> Iterator[Leftover]:
    order = ["corpora", "tokens", "baselines", "models"]
    late_first = sorted(
        found.folders, key=lambda f: -order.index(f.kind) if f.kind in order else -len(order)
    )
    for folder in late_first:
        if folder.path not in found.staying:
            why = "no kept version needs it" if folder.step else "was interrupted"
            yield _of_files(found, "step", folder.path, folder.used, why)


def _rests(found: Found) -> Iterator[Leftover]:
    """Yield other files that are no longer needed.

    They are step folders whose removal was interrupted, lock files of removed steps, positions
    (checkpoints to resume from) of finished training runs, fetched checkpoints and packed models
    that no kept version has, and temporary files of interrupted writes.
    """
    rules = found.rules
    for names in step_folders.name_folders(found.home):
        for path in sorted(names.iterdir()):
            if _GOING.fullmatch(path.name):
                since = step_folders.newest_change(path)
                yield _of_files(found, "half-removed", path, since, "its removal was interrupted")
        for lock in step_folders.lock_files(names):
            since = lock.stat().st_mtime
            is_alone = not (names / lock.name[1:-5]).exists()
            if is_alone and rules.is_old(since) and names.name not in found.busy:
                yield _of_files(found, "lock", lock, since, "its step was removed")
    for folder in found.folders:
        for name in (LAST_FILE, GOOD_FILE) if folder.path in found.staying else ():
            path = folder.path / name
            is_finished = folder.step == "train" and folder.name not in found.busy
            if is_finished and path.is_file() and rules.now - path.stat().st_mtime > DAY_SECONDS:
                why = "position of a training run that has finished"
                yield _of_files(found, "position", path, path.stat().st_mtime, why)
    needed = {v.version.checkpoint for v in found.kept}
    for kind, place in (("fetched", found.home.fetched), ("packed", found.home.packed)):
        for path in sorted(place.glob("*.safetensors")):
            if path.stem not in needed and rules.is_old(path.stat().st_mtime):
                why = "no kept version has it"
                yield _of_files(found, kind, path, path.stat().st_mtime, why)
    going = {folder.path for folder in found.folders if folder.path not in found.staying}
    for top in (found.home.data, found.home.mlruns):
        for path in sorted(top.rglob(".*.tmp")):
            if path.is_relative_to(found.home.sources) or not going.isdisjoint(path.parents):
                continue
            if any(parent.name.endswith(GOING_SUFFIX) for parent in path.parents):
                continue
            is_ours = is_temporary(path) and not path.is_symlink()
            if is_ours and rules.now - path.stat().st_mtime > DAY_SECONDS:
                yield _of_files(
                    found, "temporary", path, path.stat().st_mtime, "an unfinished write"
                )


def _logs(found: Found) -> Iterator[Leftover]:
    logs = [*found.home.data.glob("logs/*.log*"), found.home.prefect / "server.log"]
    for path in sorted(path for path in logs if path.is_file()):
        since, size = path.stat().st_mtime, path.stat().st_size
        if path.parent == found.home.data / "logs" and found.rules.is_old(since):
            yield _of_files(found, "log", path, since, "nothing has been written to it since")
        elif size > LOG_BYTES:
            what, days = str(path.relative_to(found.home.root)), found.rules.days(since)
            why = f"is cut to its last {LOG_KEPT_BYTES / 1e6:g} MB"
            yield Leftover("log", "", what, size - LOG_KEPT_BYTES, days, why, path)


def _of_files(found: Found, kind: str, path: Path, since: float, why: str) -> Leftover:
    relative = path.relative_to(found.home.root)
    name = (
        path.relative_to(found.home.data).parts[1]
        if kind not in ("log", "temporary", "fetched", "packed")
        else ""
    )
    return Leftover(kind, name, str(relative), size_of(path), found.rules.days(since), why, path)
