"""A base, and experiments that may start from it."""

from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint, tokenizer
from rnnlm.config import Experiment, TokenizerConfig, from_values
from rnnlm.models import build

TEXTS = ["the cat sat on the mat and the hat", "a dog lay on the mat"] * 20
NETWORK = {"num_layers": 2, "hidden_size": 12, "embedding_size": 6}


def experiment(**sections: dict) -> Experiment:
    return from_values({"name": "x", "corpus": {"source": "x"}, **sections}, (), origin="x")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    pieces = tokenizer.learn(TokenizerConfig(kind="bpe", vocab_size=280), TEXTS)
    made = experiment(model=NETWORK, tokenizer={"kind": "bpe", "vocab_size": 280})
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    checkpoint.save(path, build(made.model, pieces.vocab_size), pieces, made, {})
    return path
