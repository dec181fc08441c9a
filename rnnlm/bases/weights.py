"""Start a training run from the weights of a base, and write a model as a base."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm import checkpoint
from rnnlm.bases.windows import WINDOWS
from rnnlm.errors import TokenizerError
from rnnlm.header import load_description
from rnnlm.models import LanguageModel
from rnnlm.overlap import sample
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import BOUNDARY_ID

BY_TOKEN = ("embedding.weight", "U", "b_2")
"""Weights that have a row for each token."""


def export(path: Path, texts: Iterable[str], to: Path, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint as a base, a compact model file to start other training runs from.

    Its matrices have 8 bits. It also holds the hashes of a sample of its training text's windows,
    so that text which the base was trained on can be recognised.

    Args:
        path: The checkpoint.
        texts: All texts that the checkpoint was trained on.
        to: The base's file.
        facts: JSON-able facts to add to those in the header.

    Raises:
        CheckpointError: `path` cannot be read.
        StorageError: `to` cannot be written.
    """
    windows = torch.from_numpy(sample(texts).view(np.int64))
    checkpoint.save_small(path, to, facts, {WINDOWS: windows})


def start_from(path: Path, model: LanguageModel, tokenizer: Tokenizer) -> None:
    """Copy a checkpoint's weights into `model`, which is mutated.

    If the checkpoint has a different tokenizer, the embedding and the output matrix get new rows. A
    token that both tokenizers have keeps its rows. Any other token is spelled with the checkpoint's
    tokens: its embedding is the mean of the embeddings of those tokens, and its output row is a
    copy of the first one's.

    Raises:
        CheckpointError: The checkpoint belongs to a different network.
    """
    other = load_description(path).tokenizer
    tensors, _ = checkpoint.load_tensors(path)
    if other.to_json() != tokenizer.to_json():
        tensors = _with_rows_for(tokenizer, other, tensors)
    checkpoint.load_weights(model, tensors, path)


def _with_rows_for(
    tokenizer: Tokenizer, other: Tokenizer, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return tensors with a row for each token of `tokenizer`, made from `other`'s rows.

    Args:
        tokenizer: Tokenizer of the model that the tensors are copied into.
        other: Tokenizer that the tensors belong to.
        tensors: Tensors of a checkpoint; not modified.
    """
    spelled = [_spelled(token, other) for token in _spellings(tokenizer)]
    spelled[BOUNDARY_ID] = [BOUNDARY_ID]
    firsts = torch.tensor([ids[0] for ids in spelled])
    changed = dict(tensors)
    for name in BY_TOKEN:
        full = f"{checkpoint.WEIGHTS}{name}"
        if full not in tensors:
            continue
        rows = tensors[full]
        if name == "embedding.weight":
            changed[full] = torch.stack([rows[ids].mean(dim=0) for ids in spelled])
        else:
            changed[full] = rows[firsts]
    return changed


def _spellings(tokenizer: Tokenizer) -> list[bytes]:
    """Return the UTF-8 bytes of each token, by id.

    If the tokenizer splits text at spaces, each token is given a space before it.
    """
    try:
        return tokenizer.token_bytes()
    except TokenizerError:
        return [f" {tokenizer.decode([index])}".encode() for index in range(tokenizer.vocab_size)]


def _spelled(token: bytes, tokenizer: Tokenizer) -> list[int]:
    """Return the ids with which `tokenizer` spells some bytes, or the boundary if it cannot."""
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    ids = [int(index) for index in tokenizer.encode(text)] if text else []
    if ids:
        return ids
    single = {spelling: index for index, spelling in enumerate(tokenizer.token_bytes())}
    found = [single[bytes([byte])] for byte in token if bytes([byte]) in single]
    return found or [BOUNDARY_ID]
