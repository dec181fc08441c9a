"""Write a version of a model, with its history, to an archive."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows import registry
from flows.registry import Version, bases
from flows.registry.pages import without_status
from flows.runtime.home import Home
from flows.tracking import connect
from flows.tracking.runs import without_version
from flows.transfer.contents import (
    ARTIFACTS,
    CARD,
    CHECKPOINT,
    FORMAT,
    HISTORY,
    KEPT_TAGS,
    NAMES,
    RUN,
    VERSION,
    Described,
    History,
    Point,
    TrainingRun,
)
from rnnlm import archive
from rnnlm.errors import RnnlmError
from rnnlm.header import load_description
from rnnlm.storage import file_digest


def export(home: Home, version: Version, to: Path) -> Described:
    """Write a version with its checkpoint, scores, card, curves, pages and history to an archive.

    Args:
        home: Home that holds the version.
        version: The version.
        to: Path of the archive, which ends in `.zip`. The same version always gives the same bytes.

    Returns:
        How the archive describes the version.

    Raises:
        RegistryError: The version's checkpoint is missing or damaged.
        StorageError: The archive cannot be written; any previous content is intact.
    """
    path = registry.checkpoint_path(home, version)
    client = connect(home)
    entry = client.get_model_version(version.name, str(version.version))
    described = _described(home, client, version, path)
    moves = registry.history(home, version.name)
    with TemporaryDirectory() as folder:
        files: dict[str, Path | bytes] = {
            CHECKPOINT: path,
            CARD: without_status(entry.description or "").encode(),
            VERSION: _json(described),
            HISTORY: _json(History(moves=tuple(moves))),
        }
        if version.run_id:
            with suppress(MlflowException):  # the run was deleted
                files[RUN] = _json(_run(client, version.run_id, version.name))
                files.update(_artifacts(client, version.run_id, Path(folder)))
        archive.write(to, FORMAT, files)
    return described


def _described(home: Home, client: MlflowClient, version: Version, path: Path) -> Described:
    experiment = load_description(path).experiment
    aliases = client.get_registered_model(version.name).aliases
    entry = client.get_model_version(version.name, str(version.version))
    base = None
    with suppress(RnnlmError):  # the base is not here any more
        base = bases.find(home, experiment)
    corpus, baseline = Path(version.corpus_uri), Path(version.baseline).parent
    same = version.model_dump(include={*Described.model_fields} & {*Version.model_fields})
    return Described.model_validate(
        same
        | {
            "aliases": sorted(a for a, n in aliases.items() if int(n) == version.version),
            "created": entry.creation_timestamp,
            "checkpoint": version.checkpoint or file_digest(path),
            "corpus_name": corpus.parent.name if version.corpus_uri else "",
            "corpus_key": corpus.name if version.corpus_uri else "",
            "baseline_key": baseline.name if version.baseline else "",
            "base": experiment.training.base,
            "base_digest": base.digest if base else "",
        }
    )


def _run(client: MlflowClient, run_id: str, name: str) -> TrainingRun:
    run = client.get_run(run_id)
    points = [
        Point(key=key, value=point.value, timestamp=point.timestamp, step=point.step)
        for key in sorted(run.data.metrics)
        for point in client.get_metric_history(run_id, key)
        if not key.startswith("system/")
    ]
    return TrainingRun(
        title=without_version(run.info.run_name or "", name),
        began=run.info.start_time or 0,
        ended=run.info.end_time or 0,
        tags={k: v[:4000] for k, v in sorted(run.data.tags.items()) if KEPT_TAGS.fullmatch(k)},
        points=tuple(points),
    )


def _artifacts(client: MlflowClient, run_id: str, folder: Path) -> Mapping[str, Path]:
    """Return the files that were logged to a run, by their names in the archive."""
    if not client.list_artifacts(run_id):
        return {}
    top = Path(client.download_artifacts(run_id, "", str(folder)))
    found = {f"{ARTIFACTS}{p.relative_to(top).as_posix()}": p for p in sorted(top.rglob("*"))}
    return {name: p for name, p in found.items() if p.is_file() and NAMES.fullmatch(name)}


def _json(value: Described | History | TrainingRun) -> bytes:
    return (
        value.model_dump_json(indent=None if isinstance(value, TrainingRun) else 2) + "\n"
    ).encode()
