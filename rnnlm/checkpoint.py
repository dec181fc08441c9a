"""Save and load models as safetensors files, which hold no pickled objects.

A file's JSON header holds the experiment (the whole configuration), the tokenizer and a few facts
about the training, so that this one file is enough to generate texts. The file from which training
resumes also holds the optimizer's state, averaged weights and the recurrent state.

The header also has a digest of the tensors and one of itself. Both are verified whenever they are
read, so that a model with a flipped bit is refused. Files of earlier versions have no digests.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rnnlm import tokenizer as tokenizers
from rnnlm.checksums import sealed, unsealed
from rnnlm.config import Experiment, shorten
from rnnlm.errors import CheckpointError, TokenizerError
from rnnlm.models import LanguageModel, build
from rnnlm.saved import checked, first_fault, parse_json
from rnnlm.storage import atomic_path
from rnnlm.tokenizer import Tokenizer

FORMAT = "rnnlm-1"
WEIGHTS = "model."
"""Prefix of the names of a model's weights."""
_HEADER = "rnnlm"
_TENSORS = "sha256_of_tensors"
_SCALES = "scale."
_MOST = 127


class _Format(BaseModel):
    """The part of a header that later versions have too."""

    model_config = ConfigDict(extra="ignore")

    format: str


class _Header(_Format):
    """The header of a file."""

    experiment: dict[str, Any]
    tokenizer: dict[str, Any]
    facts: dict[str, Any]


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
    header = {
        "format": FORMAT,
        "experiment": experiment.model_dump(),
        "tokenizer": tokenizer.to_json(),
        "facts": dict(facts),
    }
    _write(path, tensors, header)


def load(path: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a model from a checkpoint.

    Raises:
        CheckpointError: The file is missing, cut short or of another format, or its weights do not
            fit the model that its header describes.
    """
    experiment, tokenizer = _described(path, _read(path, with_tensors=False)[1])
    _check_shapes(path, experiment, tokenizer.vocab_size)
    tensors, header = _read(path)
    model = build(experiment.model, tokenizer.vocab_size)
    load_weights(model, tensors, path)
    return LoadedModel(model.to(device).eval(), tokenizer, experiment, header["facts"])


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
    return _described(path, _read(path, with_tensors=False)[1])


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
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the weights in {path} fit another model: {reason}") from error


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    # One entry only: safetensors writes several in random order, but equal models must give equal
    # bytes.
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = sealed({**header, _TENSORS: _digest(contiguous)})
    metadata = {_HEADER: json.dumps(header, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of contiguous tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _described(path: Path, header: Mapping[str, Any]) -> tuple[Experiment, Tokenizer]:
    try:
        experiment = Experiment.model_validate(header["experiment"])
        return experiment, tokenizers.from_json(header["tokenizer"])
    except (ValueError, TokenizerError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise CheckpointError(
            f"{path} does not describe the model it holds ({reason}); train again"
        ) from error


def _check_shapes(path: Path, experiment: Experiment, vocab_size: int) -> None:
    """Check that a file has the weights of the model that its header describes.

    This is done before anything is allocated, because the header may describe a model that is much
    larger than the file.

    Raises:
        CheckpointError: A weight is missing or has another shape.
    """
    if experiment.model.architecture == "ngram":
        return  # its tables are as long as they are
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


def _read(path: Path, with_tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train the model again")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is cut short or not a checkpoint ({shorten(str(error), 200)}); delete it and "
            "train again"
        ) from error
    if _HEADER not in metadata:
        raise CheckpointError(f"{path} has format None (expected {FORMAT!r}); train again")
    try:
        found: _Format = parse_json(metadata[_HEADER], _Format)
        if found.format != FORMAT:
            raise CheckpointError(
                f"{path} has format {shorten(found.format)} (expected {FORMAT!r}); train again"
            )
        sealed_header = unsealed(parse_json(metadata[_HEADER], dict[str, Any]))
        digest = sealed_header and sealed_header.pop(_TENSORS, None)
        if sealed_header is None or (with_tensors and digest and digest != _digest(tensors)):
            raise CheckpointError(
                f"{path} is damaged: it does not match the digest that was written with it; "
                "restore it from a copy, or delete it and train again"
            )
        header = checked(sealed_header, _Header).model_dump()
        return _unscaled(tensors), header
    except ValueError as error:
        raise CheckpointError(
            f"the header of {path} is damaged ({error}); delete the file and train again"
        ) from error


def _unscaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with those of 8 bits multiplied by their scales.

    Raises:
        ValueError: A scale has no tensor, or a shape that does not belong to it.
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
            raise ValueError(f"the scale of {shorten(name)} does not fit it")
        kept[name] = whole.float() * scale
    return kept
