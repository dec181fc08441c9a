"""Train a model of any kind: by gradient or by counting, in one process or in several."""

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
    """The result of a training.

    Attributes:
        uri: Folder that holds the checkpoint and the history.
        checkpoint: Path of the exported checkpoint, the one that scored best on validation.
        digest: sha256 of the exported checkpoint.
        parameters: Number of trained parameters.
        step: Optimizer steps taken in total.
        best_step: Step at which the checkpoint was taken.
        tokens: Tokens trained on; every epoch counts.
        validation_bits_per_character: The checkpoint's score on the validation split.
        seconds: Seconds spent training, including earlier runs that this one resumed.
        started_from: sha256 of the checkpoint that the initial weights came from; None if none.
        trained_share: Share of the trained weights in the checkpoint; the rest is the share of the
            initial weights (see `blend`).
        precision: The precision chosen for generation, also stored in the checkpoint; None if the
            model generates only in 32 bits.
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
    """Train a model on the shards in `tokens_uri`, or resume where an earlier call stopped.

    Args:
        tokens_uri: Folder written by `tokenize`.
        experiment: The experiment; its `model` and `training` sections apply.
        out: Folder for the checkpoints and the history. Training resumes from a position saved
            there.
        on_progress: Called after every step; `metrics` is set when a row of history is complete.
            If it raises an exception, the position is saved and the exception passes through.
        start: Checkpoint of the same network and vocabulary whose weights training starts from if
            `out` holds no position. The default is random weights. Counting ignores it.

    Raises:
        ConfigError: The model does not fit into memory, the batch is larger than the corpus, or
            the device does not exist.
        DatasetError: There are no shards.
        CheckpointError: The position in `out` is damaged, or belongs to another model, vocabulary
            or training setup; or `start` belongs to another network or vocabulary.
        DivergenceError: The loss exploded, or rose and stayed high, more often than
            `training.recoveries` allows.
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
    """Write a copy of the best checkpoint, blended and with its precision for generation.

    Returns:
        Path of the copy, or `best` if nothing is blended and only 32 bits are possible.
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
