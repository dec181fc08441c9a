"""What must stay: versions with an alias, the newest ones, and everything that belongs to them."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import registry
from flows.chain.records import RECORD_FILE
from flows.cleanup.mlflow_store import Registered
from flows.cleanup.rules import Rules
from flows.cleanup.step_folders import StepFolder, name_folders
from flows.runtime.home import Home
from rnnlm.errors import RegistryError
from rnnlm.generation.job import JOB_FILE, MANIFEST_FILE

_BEFORE_MODELS = frozenset({"corpora", "tokens", "baselines", "models"})


@dataclass
class Claims:
    """The models that users' data sets refer to.

    Attributes:
        checkpoints: sha256 of the models that wrote the data sets, or are about to.
        versions: Names and numbers of the versions that their manifests name.
    """

    checkpoints: set[str] = field(default_factory=set)
    versions: set[tuple[str, int]] = field(default_factory=set)


def claims(home: Home, others: Iterable[Path] = ()) -> Claims:
    """Return the models that data sets under the home, and some elsewhere, refer to.

    An unfinished data set counts too, because the same command resumes it.

    Args:
        home: Where `data/generated` is.
        others: Folders of data sets elsewhere, as recorded in MLflow.
    """
    found = Claims()
    named = [f for f in name_folders(home) if f.parent.name == "generated"]
    inside = [path for folder in named for path in folder.glob("[!.]*/")]
    for folder in {*inside, *others}:
        if (folder / RECORD_FILE).is_file():  # samples of a training run are a step
            continue
        found.checkpoints.add(str(_read(folder / JOB_FILE).get("checkpoint")))
        model = _read(folder / MANIFEST_FILE).get("model") or {}
        if str(model.get("version", "")).isdigit():
            found.versions.add((str(model.get("name")), int(model["version"])))
    return found


def kept_versions(
    home: Home, versions: list[Registered], rules: Rules, claimed: Claims, used: Mapping[str, float]
) -> list[Registered]:
    """Return the versions that stay.

    Args:
        home: Home whose registry they are in.
        versions: All versions, newest first within a model.
        rules: How many stay without an alias, and for how long.
        claimed: Models that data sets refer to.
        used: When the training of a checkpoint was last requested, by the checkpoint's sha256.
    """
    moved = _moved(home, versions)
    begun = {v.version.started_from for v in versions if v.aliases} - {""}
    seen: dict[str, int] = {}
    kept = []
    for registered in versions:
        version = registered.version
        number = seen[version.name] = seen.get(version.name, 0) + 1
        since = max(registered.created, used.get(version.checkpoint, 0.0))
        if (
            registered.aliases
            or number <= rules.keep_versions
            or not rules.is_old(since)
            or version.checkpoint in claimed.checkpoints | begun
            or (version.name, version.version) in claimed.versions | moved
        ):
            kept.append(registered)
    return kept


def kept_steps(
    folders: list[StepFolder], kept: list[Registered], rules: Rules, busy: set[str]
) -> set[Path]:
    """Return the step folders that stay: those of kept versions, young ones, those of busy names.

    If a step stays, so do the steps that it was made from, back to the corpus. If a version's model
    stays, so do steps made only from it and other kept things: its scores and its samples. A
    comparison on another version's corpus is removed with that corpus.
    """
    checkpoints = {v.version.checkpoint for v in kept} - {""}
    places = {place for v in kept for place in _places(v)}
    corpora = {v.version.corpus_digest for v in kept} - {""}
    staying = {
        folder.path: folder
        for folder in folders
        if folder.name in busy
        or not rules.is_old(folder.used)
        or folder.place in places
        or (folder.kind == "models" and folder.digest in checkpoints)
        or (folder.kind == "corpora" and folder.digest in corpora)
    }
    _add_origins(staying, folders)
    known = checkpoints | corpora | {f.digest for f in staying.values() if f.digest}
    lineage = set(checkpoints)
    while True:
        made = [
            folder
            for folder in folders
            if folder.path not in staying
            and folder.kind not in _BEFORE_MODELS
            and folder.inputs <= known
            and folder.inputs & lineage
        ]
        if not made:
            return {*staying}
        staying |= {folder.path: folder for folder in made}
        lineage |= {folder.digest for folder in made if folder.digest}
        known |= lineage


def _add_origins(staying: dict[Path, StepFolder], folders: list[StepFolder]) -> None:
    """Add the origins of staying steps, except a model whose weights a training started from."""
    waiting = [*staying.values()]
    while waiting:
        made = waiting.pop()
        for folder in folders:
            is_new = folder.path not in staying and folder.kind != made.kind
            if is_new and folder.digest in made.inputs:
                staying[folder.path] = folder
                waiting.append(folder)


def _places(kept: Registered) -> list[tuple[str, str, str]]:
    """Return the steps that a version's tags name by path, even if the home has moved."""
    version = kept.version
    folders = [Path(version.corpus_uri), Path(version.baseline).parent]
    return [(f.parts[-3], f.parts[-2], f.parts[-1]) for f in folders if len(f.parts) > 2]


def _moved(home: Home, versions: list[Registered]) -> set[tuple[str, int]]:
    """Return the versions in each model's last move of aliases, which may be incomplete."""
    found = set()
    for name in {v.version.name for v in versions}:
        with contextlib.suppress(RegistryError):  # nothing in use, so nothing was moved
            for move in registry.history(home, name)[:1]:
                found |= {(name, n) for n in (move.before, move.after) if n is not None}
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
