"""Versions of models and the aliases that say which one to use.

`champion` is the version in use, `previous` the one before it, `challenger` the newest that did
not make it. Aliases move under a lock, so that two flows never leave two champions or none.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from filelock import FileLock
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import BaseModel, ConfigDict

import rnnlm
from flows import serving
from flows.home import Home
from flows.tracking import CHECKPOINT_TAG, connect
from rnnlm import checkpoint, dataset
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.errors import RegistryError, RnnlmError
from rnnlm.evaluation import TestScores, evaluate
from rnnlm.training.api import TrainedModel

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)
_SCORE_TAG = "test_bits_per_character"
_TEST_TAG = "corpus_digest"
_CORPUS_TAG = "corpus_uri"
_BASELINE_TAG = "baseline"
_CONDITION_TAG = "condition"
_PLACED_TAG = "alias_decided"  # set last: a version without it was left half registered


class Version(BaseModel):
    """A version of a model in the registry.

    Attributes:
        name: The model's.
        version: Counted from 1.
        alias: champion, challenger, previous, or None.
        run_id: The MLflow run that trained it.
        reason: Why it has its alias.
        test_bits_per_character: Its score on the test split it was registered with.
        corpus_digest: Digest of the corpus it was trained on.
        corpus_uri: Folder of that corpus's documents.
        baseline: Path of the checkpoint of its n-gram model.
        condition: Attributes that its texts are told.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    alias: str | None
    run_id: str
    reason: str
    test_bits_per_character: float
    corpus_digest: str
    corpus_uri: str
    baseline: str
    condition: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """Say which version this is."""
        alias = f" @{self.alias}" if self.alias else ""
        return f"{self.name}/{self.version}{alias}, {self.reason}"


def find(home: Home, name: str, digest: str) -> Version | None:
    """Return the newest version that holds a checkpoint and was given its place, or None."""
    condition = f"name = '{name}' and tags.`{CHECKPOINT_TAG}` = '{digest}'"
    condition += f" and tags.`{_PLACED_TAG}` = 'yes'"
    found = connect(home).search_model_versions(condition, max_results=100)
    newest = max(found, key=lambda v: int(v.version), default=None)
    return _version(home, newest) if newest else None


def register(
    home: Home,
    experiment: Experiment,
    corpus: Corpus,
    model: TrainedModel,
    baseline: TrainedModel,
    scores: TestScores,
    run_id: str,
) -> Version:
    """Package a checkpoint, register it, and make it champion if it is the first or the best.

    Versions compare by bits per character on the same test split: where the corpus has changed
    since, the champion is scored again on the new one. A document's split is decided by its own
    text, so no line of it was trained on; passages that an edit cut anew may share some text.
    Scores of models that are told different attributes are of different texts: no such model takes
    the champion's place by itself.
    """
    client = connect(home)
    bits = scores.figures["bits_per_character"]
    with _moving(home):
        champion = by_alias(home, experiment.name, CHAMPION)
        wins, reason = _compare(home, champion, corpus, experiment.corpus.condition, bits)
        uri = _package(home, experiment, model, run_id)
        if not client.search_registered_models(f"name = '{experiment.name}'"):
            client.create_registered_model(experiment.name)
        created = client.create_model_version(
            experiment.name,
            source=uri,
            run_id=run_id,
            tags={
                CHECKPOINT_TAG: model.digest,
                _SCORE_TAG: repr(bits),
                _TEST_TAG: corpus.digest,
                _CORPUS_TAG: corpus.uri,
                _BASELINE_TAG: baseline.checkpoint,
                _CONDITION_TAG: json.dumps(experiment.corpus.condition),
                "reason": reason,
            },
            description=(
                f"{bits:.3f} bits per character on the test split; {reason}.\n\n"
                f"Corpus `{corpus.digest[:12]}`, {sum(corpus.documents.values()):,} documents."
            ),
            model_id=uri.rpartition("/")[2],
        )
        number = int(created.version)
        if wins:
            _crown(client, experiment.name, number, champion)
        else:
            client.set_registered_model_alias(experiment.name, CHALLENGER, str(number))
        client.set_model_version_tag(experiment.name, str(number), _PLACED_TAG, "yes")
    return _version(home, client.get_model_version(experiment.name, str(number)))


def resolve(home: Home, reference: str) -> Version:
    """Return the version that `name`, `name@alias` or `name/version` means.

    Raises:
        RegistryError: There is none; the message names what there is.
    """
    name, at, alias = reference.partition("@")
    name, slash, number = name.partition("/")
    names = _names(home)
    if name not in names:
        known = ", ".join(names) or "none yet; `rnnlm train` makes one"
        raise RegistryError(f"no model {name!r} (there are: {known})")
    if slash:
        found = [version for version in versions(home, name) if str(version.version) == number]
        if found:
            return found[0]
        there = ", ".join(str(version.version) for version in versions(home, name))
        raise RegistryError(f"{name} has no version {number!r} (there are: {there})")
    version = by_alias(home, name, alias if at else CHAMPION)
    if version is None:
        aliases = [v.alias for v in versions(home, name) if v.alias]
        raise RegistryError(
            f"{name} has no alias {alias if at else CHAMPION!r} (there are: {', '.join(aliases)})"
        )
    return version


def checkpoint_path(home: Home, version: Version) -> Path:
    """Return the path of a version's checkpoint, fetched from the store if it is not local.

    Raises:
        RegistryError: The artifact is gone.
    """
    connect(home)
    mlflow.set_tracking_uri(home.tracking_uri)
    try:
        folder = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}")
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the files of {version.name}/{version.version} are gone from the artifact store "
            f"({shorten_error(error)}); train again or choose another version"
        ) from error
    found = sorted(Path(folder).glob("artifacts/*.safetensors"))
    if not found:
        raise RegistryError(
            f"{version.name}/{version.version} holds no checkpoint; choose another version"
        )
    return found[0]


def by_alias(home: Home, name: str, alias: str) -> Version | None:
    """Return the version that an alias names, or None."""
    try:
        return _version(home, connect(home).get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions(home: Home, name: str | None = None) -> list[Version]:
    """Return all versions, of one model or of all, newest first within a model."""
    found = connect(home).search_model_versions(f"name = '{name}'" if name else None)
    described = [_version(home, version) for version in found]
    return sorted(described, key=lambda version: (version.name, -version.version))


def promote(home: Home, name: str, version: str) -> Version:
    """Make a version champion; the champion before becomes `previous`.

    Raises:
        RegistryError: There is no such version.
    """
    with _moving(home):
        chosen = resolve(home, f"{name}/{version}")
        champion = by_alias(home, name, CHAMPION)
        if champion is None or champion.version != chosen.version:
            _crown(connect(home), name, chosen.version, champion)
    return resolve(home, f"{name}/{version}")


def rollback(home: Home, name: str) -> Version:
    """Make the previous champion champion again, and the present one `previous`.

    Raises:
        RegistryError: There is no such model, or it has had one champion only.
    """
    with _moving(home):
        champion = resolve(home, name)
        previous = by_alias(home, name, PREVIOUS)
        if previous is None:
            raise RegistryError(
                f"{name} has no champion before version {champion.version} to go back to; "
                f"`rnnlm promote {name} VERSION` chooses one"
            )
        _crown(connect(home), name, previous.version, champion)
    return resolve(home, name)


def rescore(home: Home, version: Version, corpus_uri: str) -> float:
    """Return a version's bits per character on the test split of a corpus, by its own tokenizer.

    Raises:
        RegistryError: The version's files are gone.
        CorpusError: There is no corpus in `corpus_uri`, or it lacks what the model is told.
    """
    loaded = checkpoint.load(checkpoint_path(home, version))
    texts = dataset.iter_told(corpus_uri, "test", loaded.experiment.corpus.condition)
    arrays = dataset.from_texts(loaded.tokenizer, [*texts])
    return evaluate(loaded.model, arrays).score.bits_per_character


def shorten_error(error: BaseException) -> str:
    """Return the first line of an error's message, at most 120 characters."""
    return str(error).strip().split("\n")[0][:120]


def _compare(
    home: Home, champion: Version | None, corpus: Corpus, condition: tuple[str, ...], bits: float
) -> tuple[bool, str]:
    """Decide whether a score beats the champion's on the same text, and say why."""
    if champion is None:
        return True, "the first version"
    if champion.condition != condition:
        theirs_told = ", ".join(champion.condition) or "nothing"
        return False, f"not comparable: champion {champion.version} is told {theirs_told}"
    theirs, where = champion.test_bits_per_character, ""
    if champion.corpus_digest != corpus.digest:
        where = " on the changed corpus"
        try:
            theirs = rescore(home, champion, corpus.uri)
        except RnnlmError as error:
            return True, f"version {champion.version} cannot be scored: {shorten_error(error)}"
    if bits < theirs:
        return True, f"{theirs - bits:.3f} bits better than version {champion.version}{where}"
    return False, f"{bits - theirs:.3f} bits worse than champion {champion.version}{where}"


def _crown(client: MlflowClient, name: str, number: int, champion: Version | None) -> None:
    if champion is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(champion.version))
    client.set_registered_model_alias(name, CHAMPION, str(number))
    for alias, held in client.get_registered_model(name).aliases.items():
        if alias in (CHALLENGER, PREVIOUS) and int(held) == number:
            client.delete_registered_model_alias(name, alias)


def _package(home: Home, experiment: Experiment, model: TrainedModel, run_id: str) -> str:
    """Log the checkpoint with the code that reads it as a model of the run; return its URI."""
    mlflow.set_tracking_uri(home.tracking_uri)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
    defaults = experiment.generation.model_dump() | {"count": 1}
    with (
        _library_code() as code,
        warnings.catch_warnings(record=True),  # MLflow would have an example; `params` say enough
        mlflow.start_run(run_id=run_id, log_system_metrics=False),
    ):
        info = mlflow.pyfunc.log_model(
            name=experiment.name,
            python_model=serving.__file__,
            artifacts={serving.CHECKPOINT_ARTIFACT: model.checkpoint},
            code_paths=[code],
            signature=serving.signature(defaults),
            pip_requirements=["torch", "numpy", "pyarrow", "pydantic", "safetensors"],
        )
    return str(info.model_uri)


@contextmanager
def _library_code() -> Iterator[str]:
    """Provide a copy of the library's sources alone, without what Python compiled of them."""
    with TemporaryDirectory() as folder:
        source, copy = Path(rnnlm.__file__).parent, Path(folder) / "rnnlm"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        yield str(copy)


@contextmanager
def _moving(home: Home) -> Iterator[None]:
    home.mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlruns / ".registry.lock"):
        yield


def _names(home: Home) -> list[str]:
    return sorted(model.name for model in connect(home).search_registered_models())


def _version(home: Home, version: ModelVersion) -> Version:
    model = connect(home).get_registered_model(version.name)
    held = [alias for alias, number in model.aliases.items() if str(number) == str(version.version)]
    alias = next((alias for alias in ALIASES if alias in held), None)
    tags = version.tags
    return Version(
        name=version.name,
        version=int(version.version),
        alias=alias,
        run_id=version.run_id,
        reason=tags.get("reason", ""),
        test_bits_per_character=float(tags.get(_SCORE_TAG, "nan")),
        corpus_digest=tags.get(_TEST_TAG, ""),
        corpus_uri=tags.get(_CORPUS_TAG, ""),
        baseline=tags.get(_BASELINE_TAG, ""),
        condition=json.loads(tags.get(_CONDITION_TAG, "[]")),
    )
