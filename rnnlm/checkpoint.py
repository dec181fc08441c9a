"""Save and load models as safetensors files, which hold no pickled objects.

A file has a header (`rnnlm.header`) that describes the model, so that this one file is enough to
generate texts. The file from which training resumes also holds the optimizer's state, averaged
weights and the recurrent state.

The header has a digest of the tensors and one of itself. The tensors and the header are verified
whenever they are read, so that a model with a flipped bit is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from rnnlm import header as headers
from rnnlm.config import Experiment, shorten
from rnnlm.errors import CheckpointError
from rnnlm.header import Described, Header
from rnnlm.models import LanguageModel, build
from rnnlm.storage import write_bytes
from rnnlm.tokenizer import Tokenizer

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
    described = Described(experiment, tokenizer, facts)
    _write(path, tensors, headers.of_model(described, headers.CHECKPOINT))


def load(path: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a model from a checkpoint.

    Raises:
        CheckpointError: The file is missing, cut short or of another format, or its weights do not
            fit the model that its header describes.
    """
    described = headers.load_description(path)
    _check_shapes(path, described.experiment, described.tokenizer.vocab_size)
    tensors, _ = _read(path)
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
    _write(to, small, header.model_copy(update={"facts": header.facts | dict(facts)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all tensors and the facts of a checkpoint.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    tensors, header = _read(path)
    return tensors, header.facts


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
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the weights in {path} fit another model: {reason}") from error


def _write(path: Path, tensors: Mapping[str, Tensor], header: Header) -> None:
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = headers.to_metadata(header, headers.digest_of(contiguous, _bytes_of))
    write_bytes(path, save_tensors(contiguous, metadata))


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _check_shapes(path: Path, experiment: Experiment, vocab_size: int) -> None:
    """Check that a file has the weights of the model that its header describes.

    This is done before anything is allocated, because the header may describe a model that is much
    larger than the file.

    Raises:
        CheckpointError: A weight is missing or has another shape.
    """
    if experiment.model.architecture == "ngram":
        return  # the config does not determine the lengths of its tables
    with torch.device("meta"):
        expected = build(experiment.model, vocab_size).state_dict()
    with safe_open(path, framework="pt") as file:
        names = {*file.keys()}
        for name, value in expected.items():
            full = f"{WEIGHTS}{name}"
            found = file.get_slice(full).get_shape() if full in names else None
            if found != [*value.shape]:
                raise CheckpointError(
                    f"the weights in {path} fit another model: {name} has shape {found} (expected "
                    f"{[*value.shape]}, as {experiment.model.title} needs); train again"
                )


def _read(path: Path) -> tuple[dict[str, Tensor], Header]:
    with headers.opened(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    header = headers.from_metadata(path, metadata, headers.CHECKPOINT, Header)
    digest = header.sha256_of_tensors
    if digest and digest != headers.digest_of(tensors, _bytes_of):
        raise headers.damaged(path)
    return _unscaled(path, tensors), header


def _unscaled(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, the 8-bit ones multiplied by their scales.

    Raises:
        CheckpointError: A scale has no tensor, or does not fit the shape of its tensor.
    """
    scales = {n.removeprefix(_SCALES): s for n, s in tensors.items() if n.startswith(_SCALES)}
    kept = {name: value for name, value in tensors.items() if not name.startswith(_SCALES)}
    for name, scale in scales.items():
        whole = kept.get(name)
        if (
            whole is None
            or whole.dim() < 2
            or scale.shape != (len(whole), *[1] * (whole.dim() - 1))
        ):
            raise CheckpointError(
                f"{path} is damaged: the scale of {shorten(name)} does not fit it; delete the file "
                "and train again"
            )
        kept[name] = whole.float() * scale
    return kept
