"""Train a model of any architecture; this is the entry point of the package.

Neural models are trained by gradient descent, in one process or in several; the n-gram model is
trained by counting.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnlm import checkpoint
from rnnlm.config import Experiment
from rnnlm.dataset import load_split
from rnnlm.engine.precision import PrecisionChoice
from rnnlm.engine.precision_check import choose_precision
from rnnlm.errors import CheckpointError, EmptySplitError
from rnnlm.progress import OnProgress, silent
from rnnlm.storage import file_digest
from rnnlm.training import run_state as positions
from rnnlm.training.blending import blend
from rnnlm.training.counting import count
from rnnlm.training.launch import is_launched, launch
from rnnlm.training.run import TrainingRun
from rnnlm.training.trained import BEST_FILE, EXPORT_FILE, LAST_FILE, TrainedModel


def train(
    tokens_uri: str,
    experiment: Experiment,
    out: Path,
    on_progress: OnProgress = silent,
    start: Path | None = None,
    *,
    apart: bool = False,
) -> TrainedModel:
    """Train a model on the token files in `tokens_uri`, or resume where an earlier call stopped.

    A *position* is a checkpoint that also holds everything needed to resume training exactly: the
    optimizer's moments, the recurrent state and the counters (see `rnnlm.training.run_state`).

    Args:
        tokens_uri: Folder written by `tokenize`.
        experiment: The experiment; its `model` and `training` sections apply.
        out: Folder for the checkpoints and the history of metrics. If it holds a position, training
            resumes from it.
        on_progress: Called after every optimizer step. `Progress.metrics` is set when a row of
            history is complete.
            If it raises an exception, the position is saved and the exception passes through.
        start: Checkpoint of the same network and vocabulary whose weights training starts from if
            `out` holds no position. The default is random weights. The n-gram model ignores it.
        apart: Train in a separate process even if `training.processes` is 1. The result is the
            same. This is for programs in which OpenMP's threads spin while they wait, as they do by
            default: with another process on the same cores, training would be many times slower.
            How they wait is decided when torch is imported, so only a new process can change it.

    Raises:
        ConfigError: The model does not fit into memory, the batch is larger than the corpus, or
            the device does not exist.
        DatasetError: `tokens_uri` holds no token files.
        CheckpointError: The position in `out` is damaged, or belongs to another model, vocabulary
            or training setup; or `start` belongs to another network or vocabulary.
        DivergenceError: The loss exploded, or rose and stayed high, more often than
            `training.recoveries` allows.
        StorageError: A checkpoint cannot be written.
    """
    best = out / BEST_FILE
    if experiment.model.architecture == "ngram":
        position = count(tokens_uri, experiment, best, on_progress)
    elif (experiment.training.processes > 1 or apart) and not is_launched():
        launch(tokens_uri, experiment, out, on_progress, start)
        position = positions.read(out / LAST_FILE)
    else:
        position = TrainingRun(tokens_uri, experiment, out, on_progress, start).loop()
    exported = _export(best, out / EXPORT_FILE, tokens_uri, start)
    loaded = checkpoint.load(exported)
    return TrainedModel(
        uri=str(out),
        checkpoint=str(exported),
        digest=file_digest(exported),
        parameters=loaded.model.parameter_count,
        step=position.step,
        best_step=position.best_step,
        tokens=position.tokens,
        validation_bits_per_character=loaded.facts["bits_per_character"],
        seconds=position.seconds,
        started_from=file_digest(start) if start else None,
        trained_share=loaded.facts.get("trained_share", 1.0),
        precision=PrecisionChoice.of(loaded.facts),
    )


def _is_copy(path: Path, origin: Mapping[str, str]) -> bool:
    """Return whether a file is an intact checkpoint with the given facts about its origin."""
    try:
        return path.is_file() and checkpoint.load(path).facts.items() >= origin.items()
    except CheckpointError:
        return False


def _export(best: Path, to: Path, tokens_uri: str, start: Path | None) -> Path:
    """Write a copy of the best checkpoint, with blended weights and the precision for generation.

    The weights are blended with those of `start` if there is one and `training.blend` is set.

    Returns:
        Path of the copy, or `best` if nothing was blended and no precision other than 32 bits was
        chosen.
    """
    origin = {"best": file_digest(best)}
    if _is_copy(to, origin):
        return to
    loaded = checkpoint.load(best)
    facts: dict[str, Any] = {}
    config = loaded.experiment.training
    if start is not None and config.blend:
        validation = load_split(tokens_uri, "validation").first(config.validation_tokens)
        facts |= blend(loaded, start, validation)
    try:
        precision = choose_precision(loaded.model, load_split(tokens_uri, "validation"))
    except EmptySplitError:
        precision = None
    if precision is not None:
        facts["precision"] = precision.model_dump()
    if not facts:
        return best
    facts = {**loaded.facts, **origin, **facts}
    checkpoint.save(to, loaded.model, loaded.tokenizer, loaded.experiment, facts)
    return to
