"""Shared fixtures of the generation tests: a tiny model and its corpus."""

from pathlib import Path

import pytest

from rnnlm.generation.manifest import Source
from tests.conftest import ingest_text
from tests.generation.jobs import saved_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved_model(tmp_path / "model.safetensors", "abc 123")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    text = tmp_path / "corpus.txt"
    text.write_text("".join(f"{a}{b}{c}\n" for a in "abc" for b in "abc 123" for c in "abc123"))
    corpus = ingest_text(text, tmp_path / "corpus")
    return Source(uri=corpus.uri, digest=corpus.digest)
