"""Find what differs between a training and the champion's: settings, data and code.

The answer is written into the MLflow run of the training, as tags, so that the list of runs can
show it in columns: first when the run begins, and again by the gate, for the champion that the
version was compared with.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import rnnlm
from flows.lookup.references import CHAMPION
from flows.tracking.connecting import flat
from rnnlm.config import from_values
from rnnlm.visible import visible_line

SETTINGS_TAG, DATA_TAG, CODE_TAG = "changed.settings", "changed.data", "changed.code"
"""Tags that say what differs from the champion; `NOTHING` if nothing does."""
CORPUS_TAG = "rnnlm.corpus"
SOURCES_TAG = "rnnlm.sources"
"""Digest of the source files of this project that a training run used."""
TORCH_TAG = "rnnlm.torch"
COMMIT_TAG = "mlflow.source.git.commit"
NOTHING = "none"
NO_VALUE = "–"
_MOST_CHARACTERS = 4000
"""Most characters of a tag; MLflow refuses tags of more than 5,000 in some databases."""
_SUFFIXES = {".py", ".c", ".h"}


@dataclass(frozen=True)
class Changes:
    """What differs between a training and that of the champion.

    Attributes:
        champion: Number of the champion's version.
        settings: Names of settings, each with its value there and here.
        data: Differences of the corpora, in words.
        code: Differences of the code, in words.
    """

    champion: int
    settings: tuple[tuple[str, str, str], ...]
    data: tuple[str, ...]
    code: tuple[str, ...]

    def tags(self) -> dict[str, str]:
        """Return the differences as tags of a run or of a version."""
        settings = tuple(f"{name} {before} → {after}" for name, before, after in self.settings)
        return {
            SETTINGS_TAG: _joined(settings),
            DATA_TAG: _joined(self.data),
            CODE_TAG: _joined(self.code),
        }

    def in_markdown(self) -> str:
        """Return the differences as a paragraph and a list."""
        settings = [f"`{name}` {before} → **{after}**" for name, before, after in self.settings]
        kinds = {"Settings": settings, "Data": [*self.data], "Code": [*self.code]}
        lines = [f"- {kind}: {', '.join(said) or NOTHING}" for kind, said in kinds.items()]
        return f"Changed since champion {self.champion}:\n\n" + "\n".join(lines)


def find_changes(client: MlflowClient, run_id: str, champion_run_id: str, champion: int) -> Changes:
    """Return what differs between the training runs of two MLflow runs.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the run of a training.
        champion_run_id: Id of the run of the champion's training.
        champion: Number of the champion's version.

    Raises:
        MlflowException: A run was deleted for good, or the store cannot be reached.
    """
    here, there = client.get_run(run_id), client.get_run(champion_run_id)
    return Changes(
        champion=champion,
        settings=tuple(_settings(there.data.params, here.data.params)),
        data=tuple(_data(there, here)),
        code=tuple(_code(there.data.tags, here.data.tags)),
    )


def log_changes(
    client: MlflowClient, run_id: str, champion_run_id: str, champion: int
) -> Changes | None:
    """Write into an MLflow run what differs from the champion's, and return it.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the run of a training.
        champion_run_id: Id of the run of the champion's training.
        champion: Number of the champion's version.

    Returns:
        The differences; None if the champion's run no longer exists.
    """
    try:
        changes = find_changes(client, run_id, champion_run_id, champion)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    client.log_batch(run_id, tags=[RunTag(key, said) for key, said in changes.tags().items()])
    return changes


def log_changes_since_champion(client: MlflowClient, run_id: str, name: str) -> None:
    """Write into an MLflow run what differs from the current champion, if there is one.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the run of a training.
        name: Name of the model.
    """
    try:
        champion = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return
    if champion.run_id and champion.run_id != run_id:
        log_changes(client, run_id, champion.run_id, int(champion.version))


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """Return a digest of the source files of `rnnlm` and `flows`: 12 hexadecimal digits.

    Unlike a git commit, it exists without a checkout, includes changes that are not committed, and
    does not change with the documentation.
    """
    root = Path(rnnlm.__file__).parent.parent
    files = [path for name in ("rnnlm", "flows") for path in (root / name).rglob("*")]
    total = sha256()
    for path in sorted(path for path in files if path.suffix in _SUFFIXES):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode())
        total.update(sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def _settings(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield the settings that differ, in the order of the configuration.

    A setting that a run lacks, because an earlier version of the package did not have it, had the
    effect of its default.
    """
    defaults = _defaults()
    for name in dict.fromkeys([*defaults, *after, *before]):
        was, now = (str(run.get(name, defaults.get(name, ""))) for run in (before, after))
        if was != now and name != "name":
            yield name, visible_line(was) or NO_VALUE, visible_line(now) or NO_VALUE


@lru_cache(maxsize=1)
def _defaults() -> dict[str, str]:
    values = {"name": "x", "corpus": {"source": "x"}}
    experiment = from_values(values, origin="defaults").model_dump()
    return {key: str(value) for key, value in flat(experiment) if key != "corpus.source"}


def _data(before: Run, after: Run) -> Iterator[str]:
    was, now = (run.data.tags.get(CORPUS_TAG, "") for run in (before, after))
    if was == now:
        return
    yield f"corpus {was[:8] or NO_VALUE} → {now[:8] or NO_VALUE}"
    counts = _counts(before), _counts(after)
    for what in counts[1]:
        old, new = counts[0].get(what), counts[1][what]
        if old is not None and old != new:
            yield f"{what} {old:,} → {new:,} ({new - old:+,})"


def _counts(run: Run) -> dict[str, int]:
    """Return the numbers of documents and characters in a run's corpus; empty if unknown."""
    for logged in run.inputs.dataset_inputs if run.inputs else ():
        try:
            profile: dict[str, Any] = json.loads(logged.dataset.profile or "{}")
            kinds = {what: profile[what] for what in ("documents", "characters")}
            return {what: sum(splits.values()) for what, splits in kinds.items()}
        except (ValueError, KeyError, AttributeError, TypeError):  # not written by this package
            continue
    return {}


def _code(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    sources = [tags.get(SOURCES_TAG) for tags in (before, after)]
    commits = [tags.get(COMMIT_TAG, "")[:7] for tags in (before, after)]
    if None in sources or sources[0] != sources[1]:
        if all(commits) and commits[0] != commits[1]:
            yield f"commit {commits[0]} → {commits[1]}"
        elif None not in sources:
            yield f"sources {str(sources[0])[:8]} → {str(sources[1])[:8]}"
    torch = [tags.get(TORCH_TAG) for tags in (before, after)]
    if None not in torch and torch[0] != torch[1]:
        yield f"torch {torch[0]} → {torch[1]}"


def _joined(said: tuple[str, ...]) -> str:
    """Return texts joined by commas, as many as fit into a tag; `NOTHING` if there are none."""
    kept = [*said]
    while kept and len(", ".join(kept)) > _MOST_CHARACTERS:
        kept.pop()
    more = len(said) - len(kept)
    return (", ".join(kept) + (f" and {more} more" if more else "")) or NOTHING
