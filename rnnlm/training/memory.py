"""Whether a model will fit into memory, said before anything is allocated."""

import os
from collections.abc import Iterator

import torch

from rnnlm.config import Experiment
from rnnlm.errors import ConfigError
from rnnlm.kernels.cross_entropy import LOGITS_AT_ONCE
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.tokens import TokenArrays

BYTES = 4
COPIES = {"sgd": 2, "adam": 4, "adamw": 4, "muon": 4}
"""Of each weight: itself, its gradient, and the moments of the optimizer."""
OUTPUT_MATRICES = 3
"""Copies of the output layer's matrix that its gradient takes beside its own."""
LOGITS = 4
"""Numbers per logit of those that are held at once."""


def training_bytes(
    experiment: Experiment, vocab_size: int, longest: int, device: torch.device
) -> int:
    """Return an estimate of what a training step needs of a device's memory, in bytes.

    Args:
        experiment: Model and batch.
        vocab_size: Entries of the vocabulary.
        longest: Tokens of the longest document, boundary included.
        device: All processes share a CPU's memory; each has a GPU of its own.
    """
    model, training = experiment.model, experiment.training
    with torch.device("meta"):
        built = build(model, vocab_size)
    assert isinstance(built, NeuralLanguageModel)
    copies = COPIES[training.optimizer] + (training.momentum > 0) + (training.averaging != "none")
    time = longest if training.feed == "documents" else min(training.bptt, longest)
    steps = training.batch_size * time
    activations = steps * built.activations + LOGITS * min(steps * vocab_size, LOGITS_AT_ONCE)
    weights = copies * built.parameter_count + OUTPUT_MATRICES * vocab_size * model.layer_sizes[-1]
    if device.type == "cpu":
        return BYTES * (weights * training.processes + activations)
    return BYTES * (weights + activations // training.processes)


def check_memory(
    experiment: Experiment, vocab_size: int, train: TokenArrays, device: torch.device
) -> None:
    """Refuse a model or batch that cannot fit into the device's memory.

    Raises:
        ConfigError: It needs more than there is; the message says what would fit.
    """
    longest = int(train.lengths.max(initial=1))
    there = _available(device)

    def needed(changed: Experiment) -> int:
        return training_bytes(changed, vocab_size, longest, device)

    if needed(experiment) <= there:
        return
    smaller = _smaller(experiment)
    fitting = (f"{setting} would fit" for setting, changed in smaller if needed(changed) <= there)
    raise ConfigError(
        f"this training needs about {needed(experiment) / 1e9:.1f} GB and {there / 1e9:.1f} GB are "
        f"free; {next(fitting, 'a smaller tokenizer.vocab_size is needed')}"
    )


def _smaller(experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    """Yield smaller experiments and what to set for them, the least loss first."""
    training, model = experiment.training, experiment.model
    for batch_size in _halves(training.batch_size, training.processes):
        yield f"training.batch_size = {batch_size}", _with(experiment, batch_size=batch_size)
    if training.feed == "documents":
        for batch_size in _halves(2 * training.batch_size, training.processes):
            setting = f"training.feed = 'stream' with training.batch_size = {batch_size}"
            yield setting, _with(experiment, feed="stream", batch_size=batch_size)
    for hidden_size in _halves(model.hidden_size, 1):
        setting, sizes = f"model.hidden_size = {hidden_size}", {"hidden_size": hidden_size}
        if model.tie_weights and model.last_size is None:
            setting = f"model.hidden_size = model.embedding_size = {hidden_size}"
            sizes["embedding_size"] = hidden_size
        shrunk = model.model_copy(update=sizes)
        yield setting, experiment.model_copy(update={"model": shrunk})


def _halves(size: int, smallest: int) -> Iterator[int]:
    while size // 2 >= smallest:
        size //= 2
        yield size


def _with(experiment: Experiment, **changes: object) -> Experiment:
    training = experiment.training.model_copy(update=changes)
    return experiment.model_copy(update={"training": training})


def _available(device: torch.device) -> int:
    """Return the bytes that are free; without psutil, those of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        import psutil
    except ImportError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(psutil.virtual_memory().available)
