"""Decide what must stay: which registered versions, and which step folders they depend on.

Versions stay if they have an alias, are among the newest of their model, are young, or are needed
by something else, such as a data set.
"""

import contextlib
import re
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
from rnnlm.checksums import read_record
from rnnlm.errors import RegistryError
from rnnlm.generation.job_folder import JOB_FILE, MANIFEST_FILE

_NUMBER = re.compile(r"[0-9]{1,18}")
# Kinds of steps up to training. All later steps, such as scores, are made from a model.
_BEFORE_MODELS = frozenset({"corpora", "tokens", "baselines", "models"})


@dataclass
class Claims:
    """The models that data sets of the user refer to.

    Attributes:
        checkpoints: sha256 of the checkpoints that wrote the data sets, or that will complete
            unfinished ones.
        versions: The versions that the manifests of the data sets name, as (name, number).
    """

    checkpoints: set[str] = field(default_factory=set)
    versions: set[tuple[str, int]] = field(default_factory=set)


def claims(home: Home, others: Iterable[Path] = ()) -> Claims:
    """Return the models that the data sets in the home, and data sets in other folders, refer to.

    Unfinished data sets count too, because repeating the command would resume them.

    Args:
        home: The home, whose folder `data/generated` holds data sets.
        others: Folders of data sets outside the home, as recorded in MLflow.
    """
    found = Claims()
    named = [f for f in name_folders(home) if f.parent.name == "generated"]
    inside = [path for folder in named for path in folder.glob("[!.]*/")]
    for folder in {*inside, *others}:
        made = claims_of(folder)
        found.checkpoints |= made.checkpoints
        found.versions |= made.versions
    return found


def claims_of(folder: Path) -> Claims:
    """Return the models that the data set in a folder refers to.

    The samples of a training run, which are a step's result, refer to none.
    """
    found = Claims()
    if (folder / RECORD_FILE).is_file():
        return found
    found.checkpoints.add(str(_read(folder / JOB_FILE).get("checkpoint")))
    model = _read(folder / MANIFEST_FILE).get("model")
    if isinstance(model, dict) and _NUMBER.fullmatch(str(model.get("version", ""))):
        found.versions.add((str(model.get("name")), int(model["version"])))
    return found


def kept_versions(
    home: Home, versions: list[Registered], rules: Rules, claimed: Claims, used: Mapping[str, float]
) -> list[Registered]:
    """Return the registered versions that stay.

    Args:
        home: Home whose MLflow store holds the versions.
        versions: All versions, newest first within a model.
        rules: How many versions without an alias stay, and for how long.
        claimed: The models that data sets refer to.
        used: For each checkpoint, by sha256, when its training was last run or requested, in
            seconds since 1970.
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
    """Return the paths of the step folders that stay.

    Steps stay if a kept version refers to them, if they are young, or if a process is working on
    their model. The steps from which a staying step was made stay too, back to the corpus. So do
    steps that were made from a staying model, such as its scores and samples, if all their inputs
    stay. For example, a comparison of two versions on the corpus of one of them is removed together
    with that corpus.

    Args:
        folders: All step folders.
        kept: The registered versions that stay.
        rules: How long steps stay.
        busy: Names of models that a process is working on.
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
    """Add to `staying` the steps from which its steps were made, directly or indirectly.

    The model from which a training run took its initial weights is not added.
    """
    waiting = [*staying.values()]
    while waiting:
        made = waiting.pop()
        for folder in folders:
            is_new = folder.path not in staying and folder.kind != made.kind
            if is_new and folder.digest in made.inputs:
                staying[folder.path] = folder
                waiting.append(folder)


def _places(kept: Registered) -> list[tuple[str, str, str]]:
    """Return, as (kind, name, key), the steps whose paths occur in a version's tags.

    The three identify a step even if the home was moved to another folder.
    """
    version = kept.version
    folders = [Path(version.corpus_uri), Path(version.baseline).parent]
    return [(f.parts[-3], f.parts[-2], f.parts[-1]) for f in folders if len(f.parts) > 2]


def _moved(home: Home, versions: list[Registered]) -> set[tuple[str, int]]:
    """Return the versions, as (name, number), in the last change of champion of each model.

    That change may have been interrupted, and needs both versions to be completed.
    """
    found = set()
    for name in {v.version.name for v in versions}:
        with contextlib.suppress(RegistryError):  # the model has never had a champion
            for move in registry.history(home, name)[:1]:
                found |= {(name, n) for n in (move.before, move.after) if n is not None}
    return found


def _read(path: Path) -> dict[str, Any]:
    return read_record(path) or {}
