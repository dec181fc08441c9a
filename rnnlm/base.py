"""A base: a trained model whose network, tokens and weights another training starts from.

A model trained on millions of words knows how words are spelled and how sentences are built; a
short text then only has to teach it what is special about that text.

Source: pretraining once and fine-tuning for any task, Howard and Ruder 2018 (ULMFiT).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm import checkpoint
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError, TokenizerError
from rnnlm.models import LanguageModel
from rnnlm.overlap import Hashes, sample
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import BOUNDARY_ID

NO_BASE = "none"
NETWORK = (
    "architecture",
    "embedding_size",
    "hidden_size",
    "num_layers",
    "last_size",
    "tie_weights",
    "learned_start",
    "nonlinearity",
    "mogrifier_rounds",
    "convolution",
    "mlp_ratio",
)
"""Settings of `model` that decide the shapes of the weights."""
WINDOWS = "base.windows"
"""Name of the tensor in a base's file that holds hashes of sampled 13-word windows of the base's
training text, as 64-bit integers; see `rnnlm.overlap`."""
BY_TOKEN = ("embedding.weight", "U", "b_2")
"""Weights that have a row for each token."""


def fit(experiment: Experiment, path: Path) -> Experiment:
    """Return the experiment with unset settings taken from its base.

    Settings that decide the network's shapes are taken from the base if they are not set. The
    base's tokenizer is used if no tokenizer is set.

    Args:
        experiment: An experiment that names a base.
        path: The base's checkpoint.

    Raises:
        CheckpointError: The base cannot be read or has no weights to start from, or the experiment
            sets a different network.
    """
    base, _ = checkpoint.load_description(path)
    if base.model.architecture == "ngram":
        raise CheckpointError(f"{path} holds n-grams; expected a network to start training from")
    model, given = experiment.model, experiment.model.model_fields_set
    own = {name: getattr(base.model, name) for name in NETWORK if name not in given}
    fitted = model.model_copy(update=own)
    for name in NETWORK:
        if getattr(fitted, name) != getattr(base.model, name):
            raise CheckpointError(
                f"model.{name} = {getattr(fitted, name)}, but the base {experiment.training.base} "
                f"has {getattr(base.model, name)}; leave it out, or set training.base = 'none'"
            )
    update: dict[str, object] = {"model": fitted}
    if not experiment.tokenizer.model_fields_set:
        update["tokenizer"] = experiment.tokenizer.model_copy(update={"kind": "base"})
    return experiment.model_copy(update=update)


def export(path: Path, texts: Iterable[str], to: Path, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint as a base, a compact model file to start other trainings from.

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
    _, other = checkpoint.load_description(path)
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


def windows_of(path: Path) -> Hashes:
    """Return the sampled hashes of a base's training text; an empty array if the file has none."""
    found = checkpoint.load_tensors(path)[0].get(WINDOWS)
    return np.zeros(0, np.uint64) if found is None else found.numpy().view(np.uint64)
