"""What has been done: each step has a key, a folder and a record, and the record is the truth.

A step's key is a digest of its ingredients: the configuration that matters to it, the digests of
its inputs, and the version of its code. Its folder is `data/<kind>/<name>/<key>/`; the record in
it is written last and lists every file with its digest. A record whose files no longer match is
no record.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from flows.home import Home
from rnnlm.config import Experiment
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.fetching import is_here
from rnnlm.corpora.files import SourceFile, digest, locate
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.evaluation import TestScores
from rnnlm.generation.data_set import TextDataSet
from rnnlm.storage import file_digest, value_digest, write_json
from rnnlm.training.api import TrainedModel
from rnnlm.training.run import LAST_FILE

R = TypeVar("R", bound=BaseModel)

RECORD_FILE = ".step.json"
_UNRECORDED = {RECORD_FILE, LAST_FILE}
_forced: ContextVar[bool] = ContextVar("forced", default=False)


@dataclass(frozen=True)
class Step(Generic[R]):
    """One step of the chain with everything that decides its result.

    Attributes:
        name: The verb it is known by.
        version: Raised when the step's code changes what it writes.
        ingredients: What the result depends on; JSON-able.
        result_type: What the step returns.
        siblings: Folder of all results of this kind and name.
    """

    name: str
    version: int
    ingredients: Mapping[str, Any]
    result_type: type[R]
    siblings: Path

    @property
    def key(self) -> str:
        """Return sixteen hexadecimal digits that stand for the ingredients."""
        return value_digest([self.name, self.version, self.ingredients])[:16]

    @property
    def folder(self) -> Path:
        """Where the step writes."""
        return self.siblings / self.key

    def recall(self) -> R | None:
        """Return the recorded result if its files are all there, unchanged; else None."""
        record = _read(self.folder / RECORD_FILE)
        if record is None or _fault(self.folder, record) or _forced.get():
            return None
        return self.result_type.model_validate(record["result"])

    def remember(self, result: R, seconds: float) -> None:
        """Record a result with the digests of all files in the folder."""
        files = {
            str(path.relative_to(self.folder)): _Seen.of(path)._asdict()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in _UNRECORDED
        }
        record = {
            "step": self.name,
            "version": self.version,
            "ingredients": self.ingredients,
            "seconds": round(seconds, 3),
            "files": files,
            "result": result.model_dump(),
        }
        write_json(self.folder / RECORD_FILE, record)

    def forget_if_forced(self) -> None:
        """Under `forced`, remove what an earlier run left, so that the step starts anew."""
        if _forced.get():
            shutil.rmtree(self.folder, ignore_errors=True)

    def why(self) -> str:
        """Say in a few words why `recall` finds nothing."""
        if _forced.get():
            return "forced"
        record = _read(self.folder / RECORD_FILE)
        if record is not None:
            return _fault(self.folder, record) or "done"
        if (self.folder / LAST_FILE).is_file():
            return "was interrupted; goes on where it stopped"
        records = [(path, _read(path)) for path in self.siblings.glob(f"*/{RECORD_FILE}")]
        known = [(path.stat().st_mtime, record) for path, record in records if record]
        if not known:
            return "first time"
        latest = max(known, key=lambda pair: pair[0])[1]
        if latest["version"] != self.version:
            return f"step version {latest['version']} → {self.version}"
        ingredients = json.loads(json.dumps(self.ingredients))  # as the record has them
        changes = [*_changes(latest["ingredients"], ingredients)]
        more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
        return ", ".join(changes[:2]) + more


@contextmanager
def forced(force: bool) -> Iterator[None]:
    """Within this context, recall nothing if `force` is set."""
    token = _forced.set(force)
    try:
        yield
    finally:
        _forced.reset(token)


def ingest(home: Home, experiment: Experiment, files: Sequence[SourceFile]) -> Step[Corpus]:
    """Source → documents in splits."""
    return Step(
        name="ingest",
        version=3,
        ingredients={
            "source": digest(files, home.sources),
            "corpus": experiment.corpus.model_dump(exclude={"form", "condition"}),
            "splits": experiment.splits.model_dump(),
        },
        result_type=Corpus,
        siblings=home.data / "corpora" / experiment.name,
    )


def tokenize(home: Home, experiment: Experiment, corpus: Corpus) -> Step[Tokens]:
    """Documents → Parquet tokens."""
    return Step(
        name="tokenize",
        version=3,
        ingredients={
            "corpus": corpus.digest,
            "tokenizer": experiment.tokenizer.model_dump(),
            "condition": experiment.corpus.condition,
        },
        result_type=Tokens,
        siblings=home.data / "tokens" / experiment.name,
    )


def train(home: Home, experiment: Experiment, tokens: Tokens) -> Step[TrainedModel]:
    """Tokens → checkpoint."""
    return Step(
        name="train",
        version=3,
        ingredients={
            "tokens": tokens.digest,
            "model": experiment.model.model_dump(),
            "training": experiment.training.model_dump(),
        },
        result_type=TrainedModel,
        siblings=home.data / "models" / experiment.name,
    )


def count(home: Home, experiment: Experiment, tokens: Tokens) -> Step[TrainedModel]:
    """Tokens → n-gram model, the baseline."""
    return Step(
        name="count",
        version=1,
        ingredients={
            "tokens": tokens.digest,
            "validation_tokens": experiment.training.validation_tokens,
        },
        result_type=TrainedModel,
        siblings=home.data / "baselines" / experiment.name,
    )


def evaluate(
    home: Home,
    experiment: Experiment,
    model: TrainedModel,
    baseline: TrainedModel,
    tokens: Tokens,
) -> Step[TestScores]:
    """Checkpoint, baseline and test split → scores."""
    return Step(
        name="evaluate",
        version=2,
        ingredients={
            "checkpoint": model.digest,
            "baseline": baseline.digest,
            "tokens": tokens.digest,
        },
        result_type=TestScores,
        siblings=home.data / "scores" / experiment.name,
    )


def sample(
    home: Home,
    experiment: Experiment,
    model: TrainedModel,
    baseline: TrainedModel,
    corpus: Corpus,
) -> Step[TextDataSet]:
    """Checkpoint → data set of texts."""
    return Step(
        name="sample",
        version=2,
        ingredients={
            "checkpoint": model.digest,
            "baseline": baseline.digest,
            "corpus": corpus.digest,
            "form": experiment.corpus.form,
            "generation": experiment.generation.model_dump(),
        },
        result_type=TextDataSet,
        siblings=home.data / "generated" / experiment.name,
    )


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do with a step: take it from the cache or run it, and why."""

    name: str
    cached: bool
    reason: str


def plan(
    home: Home, experiment: Experiment, is_registered: Callable[[str], str | None]
) -> list[PlannedStep]:
    """Say what a run would do, without running anything.

    Args:
        home: Where the records are.
        experiment: What would run.
        is_registered: Given a checkpoint's digest, names the version that holds it, or None.

    Raises:
        CorpusError: The source is missing.
    """
    names = ("ingest", "tokenize", "count", "train", "evaluate", "register", "sample")
    done: list[PlannedStep] = []
    for planned in _walk(home, experiment, is_registered):
        done.append(planned)
        if not planned.cached and planned.name in names[:4]:
            rest = names[len(done) :]
            return done + [PlannedStep(n, False, f"follows {planned.name}") for n in rest]
    return done


def _walk(
    home: Home, experiment: Experiment, is_registered: Callable[[str], str | None]
) -> Iterator[PlannedStep]:
    entry = catalog().get(experiment.corpus.source)
    if entry and not is_here(entry, home.sources):
        reason = f"its files are not here yet ({entry.bytes / 1e6:.1f} MB to fetch)"
        yield PlannedStep("ingest", False, reason)
        return
    first = ingest(home, experiment, locate(experiment.corpus, home.sources))
    corpus = first.recall()
    yield _planned(first, corpus)
    if corpus is None:
        return
    second = tokenize(home, experiment, corpus)
    tokens = second.recall()
    yield _planned(second, tokens)
    if tokens is None:
        return
    third = count(home, experiment, tokens)
    baseline = third.recall()
    yield _planned(third, baseline)
    if baseline is None:
        return
    fourth = train(home, experiment, tokens)
    model = fourth.recall()
    yield _planned(fourth, model)
    if model is None:
        return
    fifth = evaluate(home, experiment, model, baseline, tokens)
    yield _planned(fifth, fifth.recall())
    version = is_registered(model.digest)
    yield PlannedStep("register", bool(version), version or "no version holds this checkpoint")
    last = sample(home, experiment, model, baseline, corpus)
    yield _planned(last, last.recall())


def _planned(step: Step[R], result: R | None) -> PlannedStep:
    if result is None:
        return PlannedStep(step.name, False, step.why())
    return PlannedStep(step.name, True, f"key {step.key}, files verified")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record


class _Seen(NamedTuple):
    """A file as it was recorded.

    Attributes:
        size: Bytes.
        modified: Time of last change, in nanoseconds.
        sha256: Digest of its content.
    """

    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "_Seen":
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, file_digest(path))

    def holds(self, path: Path) -> bool:
        """Return whether the file is still the same; its content is read only if it was touched."""
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (self.size, self.modified):
            return True
        return status.st_size == self.size and file_digest(path) == self.sha256


def _fault(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a record's files, or None."""
    for name, seen in record["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is gone"
        if not _Seen(**seen).holds(path):
            return f"{name} was changed"
    return None


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            digests = all(isinstance(v, str) and len(v) == 64 for v in (old, new))
            yield f"{prefix}{key} changed" if digests else f"{prefix}{key} {old} → {new}"
