"""The header of a model's file: what the model is, as JSON beside its tensors.

It holds the experiment (the whole configuration), the tokenizer and a few facts about the training.
It also has a digest of the tensors and one of itself, which reveal a flipped bit. Files of earlier
versions have no digests. Reading a header needs no torch.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from rnnlm import tokenizer as tokenizers
from rnnlm.checksums import sealed, unsealed
from rnnlm.config import Experiment, shorten
from rnnlm.errors import CheckpointError, TokenizerError
from rnnlm.saved import checked, first_fault, parse_json
from rnnlm.tokenizer import Tokenizer

CHECKPOINT = "rnnlm-1"
"""Format of checkpoints."""
_KEY = "rnnlm"


class _Format(BaseModel):
    """The part of a header that every version has."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: str


class Header(_Format):
    """A header, as it is written.

    Attributes:
        experiment: The configuration that the model was trained with.
        tokenizer: The tokenizer that the model was trained with, as `Tokenizer.to_json` returns it.
        facts: What training recorded about itself.
        sha256_of_tensors: Digest of the file's tensors; empty in files of earlier versions.
    """

    experiment: dict[str, Any]
    tokenizer: dict[str, Any]
    facts: dict[str, Any]
    sha256_of_tensors: str = ""


H = TypeVar("H", bound=Header)


@dataclass(frozen=True)
class Described:
    """What a header says.

    Attributes:
        experiment: The resolved configuration that the model was trained with.
        tokenizer: The tokenizer that the model was trained with.
        facts: What training recorded about itself, such as step, tokens and validation score.
    """

    experiment: Experiment
    tokenizer: Tokenizer
    facts: Mapping[str, Any]


class Describing(Protocol):
    """Anything that says how a model was trained and which tokens it has."""

    @property
    def experiment(self) -> Experiment:
        """The configuration that the model was trained with."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        ...


def load_description(path: Path) -> Described:
    """Return what the header of a checkpoint says; its tensors are not read.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    return describe(path, read(path))


def load_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a checkpoint; its tensors are not read.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    return read(path).facts


def read(path: Path) -> Header:
    """Return the header of a checkpoint; its tensors are not read.

    Raises:
        CheckpointError: The file is missing, cut short or of another format.
    """
    with opened(path, "numpy") as file:
        metadata = file.metadata()
    return from_metadata(path, metadata, CHECKPOINT, Header)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all tensors of a checkpoint as numpy arrays, as they are stored.

    Raises:
        CheckpointError: The file is missing, damaged or of another format.
    """
    with opened(path, "numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = from_metadata(path, metadata, CHECKPOINT, Header).sha256_of_tensors
    if expected and expected != digest_of(arrays, bytes_of, "torch."):
        raise damaged(path)
    return arrays


def bytes_of(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@contextmanager
def opened(path: Path, framework: str) -> Iterator[Any]:
    """Open a checkpoint for reading.

    Args:
        path: The file.
        framework: What its tensors are read as: `numpy` or `pt`, for torch.

    Raises:
        CheckpointError: The file is missing, cut short or not a safetensors file.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train the model again")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is cut short or not a checkpoint ({shorten(str(error), 200)}); delete it and "
            "train again"
        ) from error


def of_model(described: Described, form: str) -> Header:
    """Return the header of a model, for a file of the format `form`."""
    return Header(
        format=form,
        experiment=described.experiment.model_dump(),
        tokenizer=described.tokenizer.to_json(),
        facts=dict(described.facts),
    )


def to_metadata(header: Header, digest: str) -> dict[str, str]:
    """Return a header as the metadata of a safetensors file.

    It has one entry only: safetensors writes several in random order, but equal models must give
    equal bytes.

    Args:
        header: The header.
        digest: Digest of the file's tensors.
    """
    values = sealed(header.model_dump() | {"sha256_of_tensors": digest})
    return {_KEY: json.dumps(values, ensure_ascii=False)}


def from_metadata(path: Path, metadata: Mapping[str, str] | None, form: str, shape: type[H]) -> H:
    """Return the header in the metadata of a safetensors file, after verifying its digest.

    Args:
        path: The file, for error messages.
        metadata: Its metadata.
        form: Name of the format that the file must have.
        shape: Type of the header.

    Raises:
        CheckpointError: There is no header, or it is damaged or of another format.
    """
    text = (metadata or {}).get(_KEY)
    if text is None:
        raise CheckpointError(f"{path} has no rnnlm header (expected format {form!r}); train again")
    try:
        found: _Format = parse_json(text, _Format)
        if found.format != form:
            raise CheckpointError(
                f"{path} has format {shorten(found.format)} (expected {form!r}); train again"
            )
        values = unsealed(parse_json(text, dict[str, Any]))
        if values is None:
            raise damaged(path)
        header: H = checked(values, shape)
    except ValueError as error:
        raise CheckpointError(
            f"the header of {path} is damaged ({error}); delete the file and train again"
        ) from error
    return header


def describe(path: Path, header: Header) -> Described:
    """Return what the header of a file says.

    Raises:
        CheckpointError: It does not describe a model.
    """
    try:
        experiment = Experiment.model_validate(header.experiment)
        return Described(experiment, tokenizers.from_json(header.tokenizer), header.facts)
    except (ValueError, TokenizerError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise CheckpointError(
            f"{path} does not describe the model it holds ({reason}); train again"
        ) from error


def digest_of(
    tensors: Mapping[str, Any], content: Callable[[Any], memoryview], kind: str = ""
) -> str:
    """Return the sha256 of tensors with their names, types and shapes.

    Args:
        tensors: Torch tensors or numpy arrays, by name.
        content: Returns the bytes of a tensor that is not empty.
        kind: What precedes the names of types: `torch.` for numpy arrays of tensors that torch
            wrote.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {kind}{value.dtype} {tuple(value.shape)}\n".encode())
        if value.nbytes:
            digest.update(content(value))
    return digest.hexdigest()


def damaged(path: Path) -> CheckpointError:
    """Return the error that says that a file does not match one of its digests."""
    return CheckpointError(
        f"{path} is damaged: it does not match the digest that was written with it; "
        "restore it from a copy, or delete it and train again"
    )
