"""Save and load models as safetensors files, which hold no pickled objects.

A file's JSON header holds the experiment (the whole configuration), the tokenizer and a few facts
about the training, so that this one file is enough to generate texts. The file from which training
resumes also holds the optimizer's state, averaged weights and the recurrent state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rnnlm import header as headers
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError
from rnnlm.models import LanguageModel, build
from rnnlm.storage import atomic_path
from rnnlm.tokenizer import Tokenizer

FORMAT = "rnnlm-1"
WEIGHTS = "model."
"""Prefix of the names of a model's weights."""
_SCALES = "scale."
_MOST = 127


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to use.

    Attributes:
        model: The model, in eval mode.
        tokenizer: The tokenizer that the model was trained with.
        experiment: The resolved configuration that the model was trained with.
        facts: What training recorded about itself, such as step, tokens and validation score.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    experiment: Experiment
    facts: Mapping[str, Any]


def save(
    path: Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    experiment: Experiment,
    facts: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The file.
        model: The model; its weights may be on any device.
        tokenizer: Tokenizer to store in the header.
        experiment: Experiment to store in the header.
        facts: JSON-able facts to store in the header.
        extra: Further tensors; names must not start with `model.`.

    Raises:
        StorageError: The file cannot be written; any previous content is intact.
    """
    tensors = {f"{WEIGHTS}{name}": value for name, value in model.state_dict().items()}
    tensors.update(extra or {})
    described = headers.Described(experiment, tokenizer, facts)
    _write(path, tensors, headers.values_of(described, FORMAT))


def load(path: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a model from a checkpoint.

    Raises:
        CheckpointError: The file is missing, cut short or of another format, or its weights do not
            fit the model that its header describes.
    """
    tensors, header = _read(path)
    described = headers.read(path, header)
    model = build(described.experiment.model, described.tokenizer.vocab_size)
    load_weights(model, tensors, path)
    ready = model.to(device).eval()
    return LoadedModel(ready, described.tokenizer, described.experiment, described.facts)


def save_small(
    path: Path, to: Path, facts: Mapping[str, Any], extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write a copy of a checkpoint with its matrices in 8 bits, whole or not at all.

    Each row of a matrix is rounded to multiples of its largest absolute value / 127. Reading the
    copy gives 32-bit numbers again.

    Args:
        path: A checkpoint.
        to: Path of the copy.
        facts: JSON-able facts to add to those in the header.
        extra: Further tensors; names must not start with `model.`.

    Raises:
        CheckpointError: `path` is missing, cut short or of another format.
        StorageError: `to` cannot be written; any previous content is intact.
    """
    tensors, header = _read(path)
    small = dict(extra or {})
    for name, value in tensors.items():
        if not name.startswith(WEIGHTS):
            continue
        if value.dim() < 2:
            small[name] = value
            continue
        scale = value.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _MOST
        small[name] = (value / scale).round().to(torch.int8)
        small[f"{_SCALES}{name}"] = scale
    header["facts"] |= facts
    _write(to, small, header)


def load_description(path: Path) -> tuple[Experiment, Tokenizer]:
    """Return the experiment and the tokenizer of a checkpoint; its tensors are not read.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    described = headers.read(path, _read(path, with_tensors=False)[1])
    return described.experiment, described.tokenizer


def load_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a checkpoint; its tensors are not read.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    facts: dict[str, Any] = _read(path, with_tensors=False)[1]["facts"]
    return facts


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all tensors and the facts of a checkpoint.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    tensors, header = _read(path)
    return tensors, header["facts"]


def load_weights(model: LanguageModel, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights among `tensors` into `model`.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    weights = {
        name.removeprefix(WEIGHTS): value
        for name, value in tensors.items()
        if name.startswith(WEIGHTS)
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the weights in {path} fit another model: {reason}") from error


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    metadata = headers.as_metadata(header)
    with atomic_path(path) as temporary:
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error


def _read(path: Path, with_tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train the model again")
    try:
        with safe_open(path, framework="pt") as file:
            header = headers.from_metadata(file.metadata())
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is cut short or not a checkpoint ({error}); delete it and train again"
        ) from error
    for name in [name for name in tensors if name.startswith(_SCALES)]:
        scale, whole = tensors.pop(name), name.removeprefix(_SCALES)
        tensors[whole] = tensors[whole].float() * scale
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {header.get('format')!r} (expected {FORMAT!r}); train again"
        )
    return tensors, header
