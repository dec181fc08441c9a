"""Whether a model will fit into memory, said before anything is allocated."""

import psutil
import torch

from rnnlm.config import Experiment
from rnnlm.errors import ConfigError
from rnnlm.models import build
from rnnlm.tokens import TokenArrays

BYTES = 4
COPIES = {"sgd": 2, "adam": 4, "adamw": 4, "muon": 4}
"""Of each weight: itself, its gradient, and the moments of the optimizer."""
ACTIVATIONS = 14
"""Numbers kept for the backward pass per step, lane and hidden feature of a layer: gates, their
gradients, cell, outputs."""
LOGITS = 4
"""Numbers per step, lane and vocabulary entry: logits, their logarithm, gradients of both."""


def training_bytes(experiment: Experiment, vocab_size: int, longest: int) -> int:
    """Return an estimate of what a training step needs, in bytes.

    Args:
        experiment: Model and batch.
        vocab_size: Entries of the vocabulary.
        longest: Tokens of the longest document, boundary included.
    """
    model, training = experiment.model, experiment.training
    with torch.device("meta"):
        parameters = build(model, vocab_size).parameter_count
    copies = COPIES[training.optimizer] + (training.averaging != "none")
    time = longest if training.feed == "documents" else min(training.bptt, longest)
    features = model.embedding_size + ACTIVATIONS * sum(model.layer_sizes)
    activations = training.batch_size * time * (features + LOGITS * vocab_size)
    return BYTES * (copies * parameters + activations // training.processes)


def check_memory(
    experiment: Experiment, vocab_size: int, train: TokenArrays, device: torch.device
) -> None:
    """Refuse a model or batch that cannot fit into the device's memory.

    Raises:
        ConfigError: It needs more than there is; the message says what would fit.
    """
    longest = int(train.lengths.max(initial=1))
    needed = training_bytes(experiment, vocab_size, longest)
    there = _available(device)
    if needed <= there:
        return
    raise ConfigError(
        f"this training needs about {needed / 1e9:.1f} GB and {there / 1e9:.1f} GB are free; "
        f"{_what_fits(experiment, vocab_size, longest, there)}"
    )


def _what_fits(experiment: Experiment, vocab_size: int, longest: int, there: int) -> str:
    batch_size = experiment.training.batch_size
    while batch_size > 1:
        batch_size //= 2
        if training_bytes(_with(experiment, batch_size=batch_size), vocab_size, longest) <= there:
            return f"training.batch_size = {batch_size} would fit"
    feed = _with(experiment, batch_size=1, feed="stream")
    if training_bytes(feed, vocab_size, longest) <= there:
        return "training.feed = 'stream' with a smaller training.batch_size would fit"
    return "a smaller model.hidden_size or tokenizer.vocab_size is needed"


def _with(experiment: Experiment, **changes: object) -> Experiment:
    training = experiment.training.model_copy(update=changes)
    return experiment.model_copy(update={"training": training})


def _available(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
