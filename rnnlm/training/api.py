"""Training a model of any kind: by gradient, by counting, in one process or in several."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlm import checkpoint
from rnnlm.config import Experiment
from rnnlm.dataset import load_split
from rnnlm.engine.precision import PrecisionChoice, choose_precision
from rnnlm.errors import EmptySplitError
from rnnlm.progress import OnProgress, silent
from rnnlm.storage import file_digest
from rnnlm.training import run_state as positions
from rnnlm.training.blending import blend
from rnnlm.training.counting import count
from rnnlm.training.launch import is_launched, launch
from rnnlm.training.run import BEST_FILE, LAST_FILE, TrainingRun

EXPORT_FILE = "model.safetensors"


class TrainedModel(BaseModel):
    """What training made.

    Attributes:
        uri: Folder that holds the checkpoint and the history.
        checkpoint: Path of the checkpoint that was best on validation, exported.
        digest: sha256 of that file.
        parameters: Trained numbers.
        step: Optimizer steps taken in all.
        best_step: The step of the checkpoint.
        tokens: Tokens trained on, each epoch counted.
        validation_bits_per_character: The checkpoint's score on the validation split.
        seconds: Spent training, in all processes that took part one after the other.
        started_from: sha256 of the checkpoint whose weights it began with; None for none.
        trained_share: Of the trained weights in the checkpoint; the rest are those it began with.
        precision: In how few bits it may generate, as the checkpoint says too; None where it
            generates in 32 alone.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    checkpoint: str
    digest: str
    parameters: int
    step: int
    best_step: int
    tokens: int
    validation_bits_per_character: float
    seconds: float = 0.0
    started_from: str | None = None
    trained_share: float = 1.0
    precision: PrecisionChoice | None = None


def train(
    tokens_uri: str,
    experiment: Experiment,
    out: Path,
    on_progress: OnProgress = silent,
    start: Path | None = None,
) -> TrainedModel:
    """Train a model on the shards in `tokens_uri`, or go on where an earlier call stopped.

    Args:
        tokens_uri: Folder that `tokenize` wrote.
        experiment: Its `model` and `training` sections decide.
        out: Folder for the checkpoints and the history. A position found there is continued.
        on_progress: Told after every step; `metrics` is set when a row of history is complete. An
            exception it raises saves the position and passes through.
        start: A checkpoint of the same network and vocabulary whose weights to begin with, where
            `out` holds no position; by default, random ones. Counting begins with none.

    Raises:
        ConfigError: The model cannot fit into memory, the batch is larger than the corpus, or the
            device is not there.
        DatasetError: There are no shards.
        CheckpointError: The position in `out` is torn, or of another model, vocabulary or way of
            training; or `start` is of another network or vocabulary.
        DivergenceError: The loss exploded, or rose and stayed up, again and again.
        StorageError: A checkpoint cannot be written.
    """
    best = out / BEST_FILE
    if experiment.model.architecture == "ngram":
        position = count(tokens_uri, experiment, best, on_progress)
    elif experiment.training.processes > 1 and not is_launched():
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


def _export(best: Path, to: Path, tokens_uri: str, start: Path | None) -> Path:
    """Write a copy of the best checkpoint, blended, that says in how few bits it may generate.

    Returns:
        The copy; or `best` itself where the model generates in 32 bits alone and is not blended.
    """
    origin = {"best": file_digest(best)}
    if to.is_file() and checkpoint.load_facts(to).items() >= origin.items():
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
