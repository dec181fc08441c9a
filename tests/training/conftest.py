"""Shared fixtures of the training tests: a tiny tokenized corpus."""

from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint, dataset
from tests.conftest import ingest_text, lines, tiny_experiment


@pytest.fixture(scope="session")
def tokens_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of token shards of a tiny corpus; treat it as read-only."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "text").write_text(lines(200))
    corpus = ingest_text(folder / "text", folder / "corpus")
    config = tiny_experiment().tokenizer
    return dataset.tokenize(corpus.uri, corpus.digest, config, folder / "tokens").uri


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint."""
    return checkpoint.load_tensors(path)[0]
