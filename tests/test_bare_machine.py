"""Test that the library trains on a machine where only five packages are installed.

They are torch, numpy, pyarrow, pydantic and safetensors.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

INSTALLED = ("torch", "numpy", "pyarrow", "pydantic", "safetensors")

SCRIPT = """
import sys
from pathlib import Path
from rnnlm import checkpoint, dataset
from rnnlm.autoconfig import advise
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.evaluation.scoring import evaluate
from rnnlm.training.api import train

out = Path(sys.argv[1])
text = out / "text.txt"
text.write_text("".join(f"cat {n} sat on mat {n * n}\\n" for n in range(400)))
settings = ("training.budget=1 epoch", "model.hidden_size=16", "corpus.clean.near_duplicates=0")
settings += ("training.optimizer=muon", "model.dropout=0.1")
experiment = advise(str(text), out, settings).experiment
corpus = ingest(locate(experiment.corpus, out), experiment.corpus, experiment.splits, out / "c")
dataset.tokenize(str(out / "c"), corpus.digest, experiment.tokenizer, out / "t")
trained = train(str(out / "t"), experiment, out / "m")
model = checkpoint.load(Path(trained.checkpoint)).model
print(evaluate(model, dataset.load_split(str(out / "t"), "test")).score.bits_per_character)
import rnnlm
small = {"training.budget": "1 epoch", "model.hidden_size": 16, "corpus.clean.near_duplicates": 0}
model = rnnlm.train(text, out / "kept", settings=small)
assert len(model.sample(3, prefix="cat ")) == 3
assert 0 < model.score(text).bits_per_character < 8
"""


@pytest.fixture
def bare_packages(tmp_path: Path) -> Path:
    """Return a folder of packages that holds only those five and their requirements."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in _with_requirements(INSTALLED):
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or () if file.parts[0] != ".."}:
            if not (folder / top).exists():
                (folder / top).symlink_to(package.locate_file(top))
    return folder


@pytest.mark.slow
def test_the_library_trains_on_a_bare_machine(tmp_path: Path, bare_packages: Path):
    command = [sys.executable, "-S", "-c", SCRIPT, str(tmp_path)]
    path = f"{ROOT}:{bare_packages}"
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": path}
    )
    assert not ended.returncode, ended.stderr
    assert 0 < float(ended.stdout) < 8


def _with_requirements(names: tuple[str, ...]) -> set[str]:
    found, left = set(), [*names]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or ()
        except PackageNotFoundError:
            continue  # required on another platform only
        found.add(name)
        wanted = map(Requirement, requirements)
        left += [r.name for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})]
    return found
