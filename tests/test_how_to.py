"""Test the how-to sections of docs/architecture.md by following them in a copy of the code."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TRAIN = """
import json
from pathlib import Path
from rnnlm import checkpoint, dataset
from rnnlm.config import GenerationConfig, from_values
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.generation import job
from rnnlm.generation.manifest import Source
from rnnlm.training.api import train

values = {
    "name": "toy",
    "corpus": {"source": "text.txt", "documents": "whole", "reader": "fortune"},
    "tokenizer": {"kind": "lower"},
    "splits": {"validation": 0.2, "test": 0.2},
    "model": {"architecture": "leaky", "hidden_size": 16, "embedding_size": 8},
    "training": {"budget": "20 epochs", "batch_size": 8, "device": "cpu", "learning_rate": 0.01},
    "generation": {"count": 10, "max_length": 20},
}
experiment = from_values(values, origin="test")
out = Path("out")
files = locate(experiment.corpus, out / "sources")
corpus = ingest(files, experiment.corpus, experiment.splits, out / "corpus")
tokens = str(out / "tokens")
dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, out / "tokens")
model = train(tokens, experiment, out / "model")
source = Source(uri=corpus.uri, digest=corpus.digest)
job.generate(
    Path(model.checkpoint), experiment.generation, out / "texts", "text", source=source
)
loaded = checkpoint.load(Path(model.checkpoint))
print(
    json.dumps(
        {
            "architecture": type(loaded.model.layers[0]).__name__,
            "bits": model.validation_bits_per_character,
            "documents": sum(corpus.documents.values()),
            "text": loaded.tokenizer.decode(loaded.tokenizer.encode("Red 1")),
        }
    )
)
"""


def how_to(title: str) -> str:
    """Return the section `How to add TITLE` of the page."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    found = re.search(rf"^## How to add {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def follow(section: str, code: Path) -> None:
    """Do what a section describes: write its Python blocks to files, and apply its diff blocks.

    A block belongs to the last file that is named before it.
    """
    for block in re.finditer(r"```(python|diff)\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        path = code / re.findall(r"`([\w/]+\.py)`", section[: block.start()])[-1]
        if block[1] == "python":
            path.write_text(block[2])
            continue
        lines = block[2].splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text()
        assert text.count(before) == 1, (path.name, before)
        path.write_text(text.replace(before, after))


@pytest.mark.slow
def test_toys_are_added_as_the_page_says_and_work_together(tmp_path: Path):
    shutil.copytree(ROOT / "rnnlm", tmp_path / "rnnlm", ignore=shutil.ignore_patterns("base-*"))
    for title in ("an architecture", "a reader", "a tokenizer", "an audit"):
        follow(how_to(title), tmp_path)
    fortunes = [f"{word} {n}" for n in range(50) for word in ("Red", "BLUE", "Green")]
    (tmp_path / "text.txt").write_text("\n%\n".join(fortunes))
    finished = subprocess.run(
        [sys.executable, "-c", TRAIN],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["architecture"] == "LeakyLayer"
    assert result["bits"] < 5.0
    assert result["documents"] == 150  # one per fortune: the reader was used
    assert result["text"] == "red 1"
    assert "| shouting |" in (tmp_path / "out" / "texts" / "README.md").read_text()
