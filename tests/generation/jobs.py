"""Helpers that run jobs on a tiny model and read their output."""

from pathlib import Path

import pyarrow.parquet as pq
import torch

from rnnlm import checkpoint
from rnnlm.config import GenerationConfig, override
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import TextDataSet
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

CONFIG = GenerationConfig(count=25, max_length=12, batch_size=4, shard_size=10, temperature=1.0)


def saved_model(path: Path, letters: str) -> Path:
    torch.manual_seed(1)
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer(letters)
    network = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(path, network, tokenizer, experiment, {"precision": {"chosen": "int8"}})
    return path


def run(model: Path, out: Path, **changes) -> TextDataSet:
    return generate(model, override(CONFIG, changes), out, "text")


def table(out: Path) -> list[dict]:
    return [
        row
        for path in sorted((out / "data").glob("train-*"))
        for row in pq.read_table(path).to_pylist()
    ]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "data").glob("train-*"))}


class Stop(Exception):
    """Raised by a test's `on_progress` to interrupt a job."""
