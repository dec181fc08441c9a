"""Estimate the memory that training needs, to fail early if the device has too little."""

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
"""Numbers kept per weight, by optimizer: the weight, its gradient, and the optimizer's moments."""
OUTPUT_MATRICES = 3
"""Additional copies of the output layer's matrix that exist while its gradient is computed."""
LOGITS = 4
"""Numbers kept per logit while the loss is computed.

The loss is computed for at most `LOGITS_AT_ONCE` logits at a time.
"""


def training_bytes(
    experiment: Experiment, vocab_size: int, longest: int, device: torch.device
) -> int:
    """Return an estimate of the device memory that a training step needs, in bytes.

    Args:
        experiment: The experiment; its model, optimizer and batch size determine the result.
        vocab_size: Number of entries in the vocabulary.
        longest: Number of tokens in the longest document, including the boundary.
        device: Device to train on. On a CPU, the result is for all training processes together, as
            they share its memory; on a GPU, it is for one process, because each has its own GPU.
    """
    model, training = experiment.model, experiment.training
    with torch.device("meta"):
        built = build(model, vocab_size)
    assert isinstance(built, NeuralLanguageModel)
    copies = COPIES[training.optimizer] + (training.momentum > 0) + (training.averaging != "none")
    time = longest if training.feed == "documents" else min(training.bptt, longest)
    steps = training.batch_size * time
    logits = min(steps * vocab_size, LOGITS_AT_ONCE[device.type])
    activations = steps * built.activations + LOGITS * logits
    weights = copies * built.parameter_count + OUTPUT_MATRICES * vocab_size * model.layer_sizes[-1]
    if device.type == "cpu":
        return BYTES * (weights * training.processes + activations)
    return BYTES * (weights + activations // training.processes)


def check_memory(
    experiment: Experiment, vocab_size: int, train: TokenArrays, device: torch.device
) -> None:
    """Raise an error if training would need more memory than is free on the device.

    Args:
        experiment: The experiment to train.
        vocab_size: Number of entries in the vocabulary.
        train: The training split, whose longest document matters.
        device: Device to train on.

    Raises:
        ConfigError: Training would need more memory than is free. The message names a setting with
            which it would fit.
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
    """Yield variants of an experiment that need less memory, beginning with the smallest changes.

    Each item is a pair: the changed settings as text for the user, and the changed experiment.
    """
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
    """Return the free memory of a device in bytes.

    For a CPU, if psutil is not installed, it is the machine's total memory instead.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        import psutil
    except ImportError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(psutil.virtual_memory().available)
