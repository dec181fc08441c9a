"""Train a model on a text with a function call: `rnnlm.train`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.checksums import read_record, write_record
from rnnlm.config import Experiment, from_values
from rnnlm.config import load as load_config
from rnnlm.engine.loading import user_folder
from rnnlm.errors import ConfigError, StorageError
from rnnlm.interface.bars import bar
from rnnlm.interface.texts_model import Model
from rnnlm.progress import OnProgress
from rnnlm.storage import is_intact, value_digest

if TYPE_CHECKING:
    from rnnlm.corpora.files import SourceFile

KEY_FILE = "trained.json"
"""Name of the file that says which training a folder belongs to, and its result."""
LOCK_FILE = ".lock"


def train(
    source: str | Path | Experiment,
    folder: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Model:
    """Train a model on a text with the settings that `rnnlm train` would choose; return the model.

    The result depends on the text and the settings alone. It is kept, so that the same call returns
    at once the next time; a call that was interrupted resumes where it stopped.

    Args:
        source: A text file, a folder or a glob; the name of a corpus of the catalog; a `.toml`
            configuration; or an `Experiment`.
        folder: Folder for the model and its learning curve, and for nothing else; by default a
            folder in the user's cache, which `Model.path` names.
        settings: Settings that replace the chosen ones, such as `{"training.budget": "2 min",
            "model.hidden_size": 256}`; see `rnnlm.config.Experiment`.
        on_progress: Called with each report of progress, instead of showing a bar; an exception
            that it raises stops the training. `rnnlm.progress.silent` shows nothing.

    Raises:
        CorpusError: The text cannot be read, or is too short.
        ConfigError: A setting is wrong, or `folder` holds another training run.
        StorageError: The files cannot be written.
    """
    _let_threads_wait()
    from rnnlm.corpora.files import digest, locate
    from rnnlm.storage import file_digest

    sources = user_folder().parent / "sources"
    experiment = _experiment(source, sources, settings or {})
    experiment, base = _with_base(experiment)
    with _shown("reading", on_progress) as tell:
        files = locate(experiment.corpus, sources, tell)
    key = value_digest(
        [
            experiment.model_dump(mode="json", exclude={"name": True, "corpus": {"source"}}),
            digest(files, sources),
            file_digest(base) if base else None,
        ]
    )
    usual = user_folder().parent / "trained" / f"{experiment.name}-{key[:12]}"
    out = Path(folder) if folder else usual
    with _alone(out):
        known = _known(out, key)
        if known is None:
            write_record(out / KEY_FILE, {"key": key})
            known = _train(files, experiment, base, out, on_progress)
            write_record(out / KEY_FILE, {"key": key, **known})
            _remove_the_rest(out, known["file"])
    return Model(out / known["file"], digest=known["digest"])


def _train(
    files: tuple[SourceFile, ...],
    experiment: Experiment,
    base: Path | None,
    out: Path,
    on_progress: OnProgress | None,
) -> dict[str, str]:
    """Run the steps of training in a folder; return the checkpoint's file and digest."""
    from rnnlm import dataset
    from rnnlm.corpora.ingestion import ingest
    from rnnlm.header import load_description
    from rnnlm.training.api import train as train_on_tokens

    words = load_description(base).tokenizer if base else None
    with _shown("reading", on_progress) as tell:
        corpus = ingest(files, experiment.corpus, experiment.splits, out / "corpus", tell)
    with _shown("tokenizing", on_progress) as tell:
        tokens = dataset.tokenize(
            corpus.uri,
            corpus.digest,
            experiment.tokenizer,
            out / "tokens",
            tell,
            condition=experiment.corpus.condition,
            tokenizer=words,
        )
    with _shown("training", on_progress) as tell:
        made = train_on_tokens(tokens.uri, experiment, out, tell, start=base, apart=_threads_spin())
    return {"file": Path(made.checkpoint).name, "digest": made.digest}


def _experiment(
    source: str | Path | Experiment, sources: Path, settings: Mapping[str, Any]
) -> Experiment:
    overrides = tuple(f"{name}={json.dumps(value)}" for name, value in settings.items())
    if isinstance(source, Experiment):
        return from_values(source.model_dump(exclude_unset=True), overrides, origin="settings")
    if Path(source).suffix == ".toml":
        return load_config(Path(source), overrides)
    from rnnlm.autoconfig import advise

    return advise(str(source), sources, overrides).experiment


def _with_base(experiment: Experiment) -> tuple[Experiment, Path | None]:
    """Return an experiment with settings filled in from its base, and the base's checkpoint."""
    from rnnlm import bases
    from rnnlm.bases import fitting

    name = experiment.training.base
    if name == fitting.NO_BASE:
        return experiment, None
    if name in bases.SHIPPED:
        path = bases.shipped(name)
    else:
        from rnnlm.interface.finding_models import load

        path = load(name).path
    if not path.is_file():
        raise ConfigError(
            f"training.base = {name}: this installation does not contain it (expected {path}); "
            "train it with `make base`, or set training.base=none"
        )
    return fitting.fit(experiment, path), path


def _known(out: Path, key: str) -> dict[str, str] | None:
    """Return the record of the finished training in a folder, if its model is there and intact.

    Raises:
        ConfigError: The folder holds another training run, or other files.
    """
    record: dict[str, str] | None = read_record(out / KEY_FILE, dict[str, str])
    if record is None:
        if any(path.name != LOCK_FILE for path in out.iterdir()):
            raise ConfigError(f"{out} holds other files; choose an empty or new folder")
        return None
    if record.get("key") != key:
        raise ConfigError(
            f"{out} holds a model of another text or of other settings; choose another folder"
        )
    is_finished = "file" in record and is_intact(out / record["file"], record["digest"])
    return record if is_finished else None


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lock a folder against other processes that run the same call; create it if needed."""
    from filelock import FileLock

    lock = FileLock(out / LOCK_FILE)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StorageError(
            f"cannot write to {out}: {error.strerror or error}; choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remove_the_rest(out: Path, kept: str) -> None:
    """Remove what is not needed once the model is trained."""
    for path in (out / "corpus", out / "tokens"):
        shutil.rmtree(path, ignore_errors=True)
    for path in out.glob("*.safetensors"):
        if path.name != kept:
            path.unlink(missing_ok=True)


@contextmanager
def _shown(label: str, on_progress: OnProgress | None) -> Iterator[OnProgress]:
    if on_progress is not None:
        yield on_progress
        return
    with bar(label) as tell:
        yield tell


def _let_threads_wait() -> None:
    """Let OpenMP's threads wait without spinning, if torch is not imported yet.

    Spinning threads make training many times slower as soon as another process is busy
    (docs/experiments.md, 2026-11-22). OpenMP reads the setting when torch is imported.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _threads_spin() -> bool:
    """Return whether OpenMP's threads in this process spin while they wait."""
    import torch

    return "OMP_WAIT_POLICY" not in os.environ and torch.get_num_threads() > 1
