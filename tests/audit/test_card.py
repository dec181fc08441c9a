import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from rnnlm import checkpoint
from rnnlm.audit.card import UNESCAPE, without_front_matter, write_card
from rnnlm.audit.summary import audit_shard, conclude
from rnnlm.config import GenerationConfig
from rnnlm.generation.job import generate
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

MANIFEST = {
    "name": "Stories, invented",
    "form": "prose",
    "files": ["texts-00000.parquet", "texts-00001.parquet"],
    "columns": {"id": "Number.", "text": "The text | itself."},
    "generation": {"count": 20, "temperature": 0.7, "top_p": 0.9, "seed": 11},
    "model": {"name": "stories", "digest": "ab" * 32, "version": "4"},
    "corpus": {"name": "tales", "digest": "cd" * 32},
    "engine": "fused",
    "precision": "int8",
    "versions": {"rnnlm": "0.1.0"},
    "command": "rnnlm generate stories --count 20",
    "examples": ["A ``` b.", "one\n```\ntwo."],
    "license": "cc0-1.0",
    "language": ["en"],
    "more": "is passed over",
}


def header_of(card: Path) -> dict:
    _, header, _ = card.read_text().split("---\n", 2)
    return yaml.safe_load(header)


def test_the_front_matter_names_the_files(tmp_path: Path):
    header = header_of(write_card(tmp_path, MANIFEST))
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": MANIFEST["files"]}]
    assert header["license"] == "cc0-1.0"
    assert header["language"] == ["en"]
    assert header["size_categories"] == ["n<1K"]
    assert header["task_categories"] == ["text-generation"]


def test_many_files_are_listed_as_a_glob_that_matches_only_them(tmp_path: Path):
    files = [f"texts-{n:05d}.jsonl" for n in range(40)]
    generation = {"count": 4_000_000, "format": "jsonl"}
    card = write_card(tmp_path, {**MANIFEST, "files": files, "generation": generation})
    for name in (*files, "job.json", "manifest.json", "samples.html", "lengths.png"):
        (tmp_path / name).touch()
    header = header_of(card)
    pattern = header["configs"][0]["data_files"][0]["path"]
    assert sorted(path.name for path in tmp_path.glob(pattern)) == files
    assert header["size_categories"] == ["1M<n<10M"]


def test_the_card_states_the_settings_and_the_audit_figures(tmp_path: Path, stories):
    reference, training = stories
    texts = [training[0], "It has no end"]
    record = audit_shard(texts, np.ones(2, np.bool_), "prose", reference, 2)
    audit = conclude(record, "prose", reference, duplicates=1).model_dump(mode="json")
    card = write_card(tmp_path, {**MANIFEST, "audit": json.loads(json.dumps(audit))}).read_text()
    for expected in (
        "temperature 0.7, top-p 0.9",
        "ab" * 32,
        "cd" * 32,
        "| duplicates | 50.00% |",
        "| copies | 50.00% | 0% | all texts |",
        "McCoy et al. 2023",
        "rnnlm generate stories --count 20",
        "The text \\| itself.",
        "It has no end",
    ):
        assert expected in card, expected


def test_backticks_in_an_example_do_not_close_its_code_block(tmp_path: Path):
    card = write_card(tmp_path, MANIFEST).read_text()
    assert "````text\none\n```\ntwo.\n````" in card


def test_a_grammar_keeps_its_pipes_in_a_table_cell(tmp_path: Path):
    generation = {"count": 20, "grammar": "a{2}|[bc]{3}"}
    card = write_card(tmp_path, {**MANIFEST, "generation": generation}).read_text()
    assert "| grammar | `a{2}\\|[bc]{3}` |" in card


def test_the_card_explains_how_to_read_escaped_line_ends(tmp_path: Path):
    shards = [{"file": "a", "escaped": 3}, {"file": "b", "escaped": 0}, {"escaped": 2}]
    card = write_card(tmp_path, {**MANIFEST, "shards": shards}).read_text()
    assert "In 5 of them a line end is written as `\\n`" in card
    assert UNESCAPE in card
    assert "## Lines" not in write_card(tmp_path, {**MANIFEST, "shards": shards[1:2]}).read_text()
    assert "## Lines" not in write_card(tmp_path, MANIFEST).read_text()


def test_a_manifest_with_a_missing_field_is_refused(tmp_path: Path):
    with pytest.raises(ValidationError, match="command"):
        write_card(tmp_path, {key: value for key, value in MANIFEST.items() if key != "command"})


@pytest.mark.skipif(find_spec("datasets") is None, reason="the library `datasets` is missing")
def test_datasets_loads_the_folder_without_changes(tmp_path: Path):
    folder = tmp_path / "set"
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc 123")
    model = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(tmp_path / "model", model, tokenizer, experiment, {})
    config = GenerationConfig(count=25, max_length=12, shard_size=10)
    generate(tmp_path / "model", config, folder, "text")
    texts = [text for path in sorted((folder / "data").glob("train-*")) for text in _texts(path)]
    code = """
import json, sys
from datasets import load_dataset

for loaded in (load_dataset("parquet", data_dir=sys.argv[1]), load_dataset(sys.argv[1])):
    print(json.dumps({split: rows["text"][:] for split, rows in loaded.items()}))
"""
    finished = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
    )
    found = [json.loads(line) for line in finished.stdout.splitlines()]
    assert found == [{"train": texts}] * 2, finished.stderr


def _texts(path: Path) -> list[str]:
    return pq.read_table(path)["text"].to_pylist()


def test_the_card_has_a_line_on_licences(tmp_path: Path):
    corpus = {**MANIFEST["corpus"], "license": "CC BY-SA 3.0"}  # type: ignore[dict-item]
    card = write_card(tmp_path, {**MANIFEST, "corpus": corpus}).read_text()
    assert "**Licence**: cc0-1.0. Licence of the corpus *tales*: CC BY-SA 3.0;" in card
    unknown = {key: value for key, value in MANIFEST.items() if key != "license"}
    card = write_card(tmp_path, unknown).read_text()
    assert "**Licence**: not chosen yet. Licence of the corpus *tales*: not stated;" in card


def test_a_card_without_its_front_matter_begins_with_its_title(tmp_path: Path):
    card = write_card(tmp_path, MANIFEST).read_text()
    shown = without_front_matter(card)
    assert shown.startswith("# Stories, invented\n")
    assert card.endswith(shown)
    assert without_front_matter(shown) == shown
