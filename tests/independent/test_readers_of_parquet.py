"""Test that DuckDB, pandas, polars and `datasets` read generated shards, with equal values.

What they read is compared with the texts of the same job written as JSON lines, and with the texts
that the engine draws, so not with Arrow, which wrote the shards.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rnnlm import checkpoint
from rnnlm.config import GenerationConfig
from rnnlm.engine.drawing import generate_texts
from rnnlm.generation.job import generate
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

MISSING = "the extra `peers` is missing; `make peers` adds it"
Rows = list[dict[str, Any]]
TOKENIZER = CharacterTokenizer("abc é日\n\t\"'\\,\0")
CONFIG = GenerationConfig(
    count=250, max_length=30, shard_size=100, temperature=1.5, seed=2**40 + 1, prefix='é"'
)
TYPES = {
    "id": "int64",
    "text": "string",
    "tokens": "int64",
    "log_prob_nats": "double",
    "prefix": "string",
    "seed": "int64",
}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows]:
    """Return the folder of a data set, and its rows as JSON has them."""
    folder = tmp_path_factory.mktemp("job")
    experiment = tiny_experiment()
    model = build(experiment.model, TOKENIZER.vocab_size)
    checkpoint.save(folder / "model", model, TOKENIZER, experiment, {})
    generate(folder / "model", CONFIG, folder / "parquet", "text")
    lines = CONFIG.model_copy(update={"format": "jsonl"})
    generate(folder / "model", lines, folder / "jsonl", "text")
    rows = [
        json.loads(line)
        for path in sorted((folder / "jsonl" / "data").glob("*.jsonl"))
        for line in path.read_text("utf-8").split("\n")[:-1]
    ]
    return folder / "parquet", rows


def by_duckdb(folder: Path) -> tuple[Rows, dict[str, str]]:
    duckdb = pytest.importorskip("duckdb", reason=MISSING)
    found = duckdb.sql(f"select * from read_parquet('{folder}/data/*.parquet') order by id")
    names = {"BIGINT": "int64", "VARCHAR": "string", "DOUBLE": "double"}
    types = dict(zip(found.columns, [names[str(kind)] for kind in found.types], strict=True))
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()], types


def by_pandas(folder: Path) -> tuple[Rows, dict[str, str]]:
    frame = pd.read_parquet(folder / "data")
    names = {"str": "string", "float64": "double", "int64": "int64"}
    types = {name: names[str(kind)] for name, kind in frame.dtypes.items()}
    return frame.to_dict("records"), types


def by_polars(folder: Path) -> tuple[Rows, dict[str, str]]:
    polars = pytest.importorskip("polars", reason=MISSING)
    frame = polars.read_parquet(folder / "data" / "*.parquet")
    names = {"Int64": "int64", "String": "string", "Float64": "double"}
    return frame.to_dicts(), {name: names[str(kind)] for name, kind in frame.schema.items()}


def by_datasets(folder: Path) -> tuple[Rows, dict[str, str]]:
    """Read in a process of its own, where the library finds its settings for a machine offline."""
    pytest.importorskip("datasets", reason=MISSING)
    code = """
import json, sys
from datasets import load_dataset

rows = load_dataset(sys.argv[1], split="train")
types = {name: rows.features[name].dtype for name in rows.column_names}
print(json.dumps([rows.to_list(), types]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent / "hf")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    rows, types = json.loads(finished.stdout)
    names = {"int64": "int64", "float64": "double", "string": "string", "large_string": "string"}
    return rows, {name: names[kind] for name, kind in types.items()}


@pytest.mark.parametrize("read", [by_duckdb, by_pandas, by_polars, by_datasets])
def test_a_reader_finds_the_rows_of_the_job(
    job: tuple[Path, Rows], read: Callable[[Path], tuple[Rows, dict[str, str]]]
):
    folder, expected = job
    rows, types = read(folder)
    assert types == TYPES
    assert rows == expected


def test_the_rows_are_the_texts_that_the_engine_draws(job: tuple[Path, Rows]):
    folder, rows = job
    loaded = checkpoint.load(folder.parent / "model")
    config = CONFIG.model_copy(update={"precision": "fp32"})
    drawn = {text.number: text for text in generate_texts(loaded.model, TOKENIZER, config, 0, 250)}
    for row in rows:
        text = drawn[row["id"]]
        assert (row["text"], row["tokens"]) == (text.text, text.tokens)
        assert row["log_prob_nats"] == pytest.approx(text.log_prob_nats, rel=1e-9)
        assert (row["prefix"], row["seed"]) == ('é"', 2**40 + 1)
    assert len(rows) == 250
    assert {*"é日\n\t\"'\\,\0"} <= {*"".join(row["text"] for row in rows)}
    assert all(math.isfinite(row["log_prob_nats"]) for row in rows)
