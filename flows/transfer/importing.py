"""Register a version from an archive that `exporting` wrote, exactly once.

The archive is unpacked into a step folder of `data/models/`, so that housekeeping knows it, and a
damaged checkpoint in the registry can be replaced from it. Everything is checked before MLflow is
written to. A process that is killed leaves an unfinished run or package, which the same import
completes; the version is created last, in one transaction.
"""

import re
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
from pydantic import BaseModel, ConfigDict

from flows import registry
from flows.chain import records
from flows.chain.records import Step
from flows.cleanup.unfinished import remove_unfinished
from flows.registry import Move, Version
from flows.runtime import backups, locks
from flows.runtime.home import Home
from flows.tracking import CHECKPOINT_TAG, TRIGGER_TAG, connect, find_run
from flows.tracking.connecting import experiment_id, flat, log_metrics
from flows.tracking.runs import COMPLETE_TAG, NAME_TAG, NOTE_TAG, VERSION_TAG
from flows.transfer.contents import (
    ARTIFACTS,
    CARD,
    CHECKPOINT,
    FORMAT,
    HISTORY,
    KEPT_TAGS,
    NAME,
    NAMES,
    RUN,
    VERSION,
    Described,
    History,
    TrainingRun,
)
from rnnlm.archive import Archive
from rnnlm.config import Experiment, shorten
from rnnlm.engine.loading import load_sampler
from rnnlm.errors import ConfigError, DamagedFileError, RegistryError
from rnnlm.header import load_description
from rnnlm.saved import parse_json
from rnnlm.training.trained import BEST_FILE

ORIGIN_TAG = "rnnlm.origin"
"""Tag of an imported version: the changes of champion in the home that it came from, as JSON."""
SHOWN_MOVES = 50
"""Most changes of champion that are kept with an imported version."""
_KINDS = ("corpora", "baselines")
_LINK = re.compile(r"Version \[([^\]\n]{1,300})\]\([^)\n]{0,300}\)")


class Unpacked(BaseModel):
    """The result of unpacking an archive.

    Attributes:
        uri: Folder with the unpacked files.
        digest: sha256 of the checkpoint.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str


class Imported(BaseModel):
    """The result of an import.

    Attributes:
        version: The version as registered here.
        origin: The version as it was in the home that it was exported from.
        is_new: Whether this import registered it; False if it was registered before.
        has_corpus: Whether this home holds the corpus that it was trained on.
    """

    model_config = ConfigDict(frozen=True)

    version: Version
    origin: Described
    is_new: bool
    has_corpus: bool


def import_archive(home: Home, path: Path, name: str | None = None) -> Imported:
    """Register the version that an archive holds; if it is registered already, change nothing.

    The version gets the next free number and no alias.

    Args:
        home: Home to register it in.
        path: The archive.
        name: Name of the model here; None for the name that it had.

    Raises:
        DamagedFileError: The archive is missing, damaged, or of another format.
        CheckpointError: The model in it is damaged.
        ConfigError: `name` cannot be the name of a model.
        StorageError: The disk is too small, or the home cannot be written.
    """
    opened = Archive.open(path, FORMAT, NAMES)
    origin: Described = opened.read(VERSION, Described)
    run: TrainingRun = opened.read(RUN, TrainingRun) if RUN in opened.files else TrainingRun()
    moves: History = opened.read(HISTORY, History)
    card = opened.read_bytes(CARD).decode("utf-8", "replace") if CARD in opened.files else ""
    if opened.files.get(CHECKPOINT) is None:
        raise DamagedFileError(f"{path} holds no {CHECKPOINT}; export the model again")
    if opened.files[CHECKPOINT].sha256 != origin.checkpoint:
        raise DamagedFileError(
            f"{path}: {CHECKPOINT} is not the checkpoint that {VERSION} describes; export the "
            "model again"
        )
    called = _name(name or origin.name)
    step = Step(
        name="import",
        version=1,
        ingredients={"files": {k: v.sha256 for k, v in sorted(opened.files.items())}},
        result_type=Unpacked,
        siblings=home.data / "models" / called,
    )
    with records.attempt(step) as attempt:
        if not attempt.is_recalled:
            opened.unpack(attempt.folder)
            attempt.result = Unpacked(uri=str(attempt.folder), digest=origin.checkpoint)
        folder = attempt.folder
        model = folder / CHECKPOINT
        experiment = _experiment(model, called)
        load_sampler(model, home.packed, origin.checkpoint)  # reads the weights, and packs them
        version, is_new = _register(home, experiment, folder, origin, run, moves, card)
    corpus = Path(version.corpus_uri)
    return Imported(
        version=version,
        origin=origin,
        is_new=is_new,
        has_corpus=bool(version.corpus_uri) and corpus.is_dir(),
    )


def moves_elsewhere(home: Home, version: Version) -> tuple[Move, ...]:
    """Return the changes of champion in the home that an imported version came from, newest first.

    Return none for a version that was trained here.
    """
    tags = connect(home).get_model_version(version.name, str(version.version)).tags
    with suppress(ValueError):
        found: History = parse_json(tags.get(ORIGIN_TAG, ""), History)
        return found.moves
    return ()


def _name(name: str) -> str:
    """Return the name of a model, after checking it.

    Raises:
        ConfigError: It cannot be the name of a model.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"--name {shorten(name)}: expected letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit"
        )
    return name


def _experiment(model: Path, name: str) -> Experiment:
    experiment = load_description(model).experiment
    return experiment.model_copy(update={"name": name})


def _register(
    home: Home,
    experiment: Experiment,
    folder: Path,
    origin: Described,
    run: TrainingRun,
    history: History,
    card: str,
) -> tuple[Version, bool]:
    """Register a checkpoint that was unpacked to a folder, unless a version holds it already.

    Returns:
        The version, and whether it is new.
    """
    home.mlruns.mkdir(parents=True, exist_ok=True)
    digest, name = origin.checkpoint, experiment.name
    with FileLock(locks.registering(home)):
        known = registry.find(home, name, digest)
        if known is not None:
            with suppress(RegistryError):  # its files are missing
                registry.checkpoint_path(home, known)
                return known, False
        backups.back_up(home)
        run_id = _ensure_run(home, experiment, folder, origin, run)
        remove_unfinished(home, run_id, digest)
        made = registry.register(
            home,
            experiment,
            str(folder / CHECKPOINT),
            _version(name, origin, run_id),
            description=_described(origin, card),
            more_tags={ORIGIN_TAG: History(moves=history.moves[:SHOWN_MOVES]).model_dump_json()},
        )
        connect(home).set_tag(run_id, VERSION_TAG, f"{made.name}/{made.version}")
        backups.back_up(home)
    return made, True


def _version(name: str, origin: Described, run_id: str) -> Version:
    data = Home(Path()).data  # relative to the home, which may be moved
    corpora, baselines = (data / kind / origin.corpus_name for kind in _KINDS)
    corpus, baseline = origin.corpus_key, origin.baseline_key
    kept = {*Version.model_fields} & {*Described.model_fields} - {"name", "version", "reason"}
    return Version(
        name=name,
        version=0,
        run_id=run_id,
        reason=f"imported: {origin.said}" + (f", {origin.reason}" if origin.reason else ""),
        corpus_uri=str(corpora / corpus) if origin.corpus_name and corpus else "",
        baseline=str(baselines / baseline / BEST_FILE) if origin.corpus_name and baseline else "",
        imported_from=origin.said,
        **origin.model_dump(include=kept),
    )


def _ensure_run(
    home: Home, experiment: Experiment, folder: Path, origin: Described, run: TrainingRun
) -> str:
    """Return the id of the MLflow run of the training that made the checkpoint.

    If there is none, it is created with the curves, tags and files of the archive; if an import was
    interrupted, its run is completed.
    """
    client, run_id = connect(home), find_run(home, experiment, origin.checkpoint)
    if run_id and client.get_run(run_id).data.tags.get(COMPLETE_TAG) != "no":
        return run_id
    if run_id is None:
        tags = {k: v for k, v in run.tags.items() if KEPT_TAGS.fullmatch(k)}
        if note := tags.get(NOTE_TAG):
            tags[NOTE_TAG] = _LINK.sub(r"Elsewhere \1", note)
        tags |= {CHECKPOINT_TAG: origin.checkpoint, COMPLETE_TAG: "no", TRIGGER_TAG: "import"}
        tags[NAME_TAG] = run.title or f"{experiment.name} · imported"
        place = experiment_id(client, home, experiment.name)
        began = run.began or origin.created
        created = client.create_run(place, start_time=began or None, tags=tags)
        run_id = str(created.info.run_id)
    _fill(client, run_id, experiment, folder, run)
    client.set_terminated(run_id, "FINISHED", run.ended or None)
    client.set_tag(run_id, COMPLETE_TAG, "yes")
    return run_id


def _fill(
    client: MlflowClient, run_id: str, experiment: Experiment, folder: Path, run: TrainingRun
) -> None:
    """Log settings, curves and files to a run; what is logged already stays as it is."""
    params = [Param(key, str(value)) for key, value in flat(experiment.model_dump())]
    client.log_batch(run_id, params=params)
    points = [Metric(p.key, p.value, p.timestamp, p.step) for p in run.points]
    log_metrics(client, run_id, points)
    if (folder / ARTIFACTS).is_dir():
        client.log_artifacts(run_id, str(folder / ARTIFACTS))


def _described(origin: Described, card: str) -> str:
    return f"Imported; elsewhere it was {origin.said}.\n\n{card}".strip()
