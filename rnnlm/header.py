"""The header of a model's file: what the model is, as JSON beside its numbers.

It holds the experiment (the whole configuration), the tokenizer and a few facts about the training.
Reading it needs no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rnnlm import tokenizer as tokenizers
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError
from rnnlm.tokenizer import Tokenizer

_KEY = "rnnlm"


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


def as_metadata(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a header as the metadata of a safetensors file.

    There is one entry only: safetensors writes several in random order, but equal models must give
    equal bytes.
    """
    return {_KEY: json.dumps(values, ensure_ascii=False)}


def from_metadata(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the header in the metadata of a safetensors file; empty if there is none."""
    values: dict[str, Any] = json.loads((metadata or {}).get(_KEY, "{}"))
    return values


def values_of(described: Described, form: str) -> dict[str, Any]:
    """Return the header of a file.

    Args:
        described: What it says.
        form: Name of the file's format.
    """
    return {
        "format": form,
        "experiment": described.experiment.model_dump(),
        "tokenizer": described.tokenizer.to_json(),
        "facts": dict(described.facts),
    }


def read(path: Path, values: Mapping[str, Any]) -> Described:
    """Interpret a header.

    Args:
        path: The file, for the error message.
        values: The header.

    Raises:
        CheckpointError: It does not describe a model.
    """
    try:
        experiment = Experiment.model_validate(values["experiment"])
        return Described(experiment, tokenizers.from_json(values["tokenizer"]), values["facts"])
    except (KeyError, ValueError, ValidationError) as error:
        raise CheckpointError(
            f"{path} does not describe the model it holds ({error}); train again"
        ) from error
