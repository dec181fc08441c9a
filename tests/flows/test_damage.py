"""Flip one bit in each kind of file that a home holds, then run a command that uses the file.

The modification time stays the same, as when a disk loses a bit. What can be rebuilt is rebuilt
with the same content, and one line says so; what cannot is refused in one line.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from flows import registry
from flows.chain.records import RECORD_FILE
from flows.registry import Version
from flows.runtime.home import Home
from rnnlm.storage import file_digest
from tests.conftest import call_cli, fork_cli, write_tiny
from tests.damage import flip_bit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version and one data set; each test must leave it unchanged."""
    root = tmp_path_factory.mktemp("damage")
    write_tiny(root)
    assert train(root)["version"] == 1
    generate(root)
    return root


def train(root: Path) -> Any:
    finished = fork_cli(root, "train", "tiny.toml", "--json")
    assert finished.status == 0, finished.err
    return finished.json | {"said": finished.err}


def generate(root: Path) -> Any:
    finished = fork_cli(root, "generate", "tiny", "--count", "40", "--json")
    assert finished.status == 0, finished.err
    return finished.json | {"said": finished.err}


def the(root: Path, pattern: str) -> Path:
    """Return the one file that a pattern matches."""
    (path,) = root.glob(pattern)
    return path


def runs(root: Path) -> set[str]:
    """Return the ids of the MLflow runs in the experiment that are not deleted."""
    client = MlflowClient(Home(root).tracking_uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    return {run.info.run_id for run in client.search_runs([experiment])}


def version(root: Path) -> Version:
    (found,) = registry.versions(Home(root), "tiny")
    return found


@pytest.fixture
def digests(home: Path) -> Iterator[None]:
    """Check that the results of the chain have the same content after a test as before."""

    def contents() -> dict[str, str]:
        found = [path for path in home.glob("data/*/tiny/*/**/*") if path.is_file()]
        left_out = (RECORD_FILE, "last.safetensors", "history.jsonl")  # they hold times
        kept = [path for path in found if path.name not in left_out]
        kept = [path for path in kept if not {"references", "reviews"} & {*path.parts}]
        kept = [path for path in kept if not path.match("generated/tiny/v1-*/*/*")]
        kept = [path for path in kept if path.suffix in (".safetensors", ".parquet", ".npy")]
        return {str(path): file_digest(path) for path in kept}

    before = contents()
    yield
    assert contents() == before
    assert version(home).version == 1


FILES = {
    "corpora/tiny/*/documents-00000.parquet": "ingest",
    "tokens/tiny/*/tokens-train-00000.parquet": "tokenize",
    "tokens/tiny/*/tokenizer.json": "tokenize",
    "baselines/tiny/*/best.safetensors": "count",
    "models/tiny/*/best.safetensors": "train",
    "models/tiny/*/model.safetensors": "train",
    "models/tiny/*/history.jsonl": "train",
    "scores/tiny/*/nats.npz": "evaluate",
    "scores/tiny/*/.step.json": "evaluate",
    "generated/tiny/????????????????/data/train-00001.parquet": "sample",
    "reviews/tiny/*/review.html": "review",
}
"""Files of the chain under `data/`, and the steps that make them."""


@pytest.mark.parametrize(("pattern", "step"), FILES.items())
def test_the_plan_names_a_damaged_file(home: Path, pattern: str, step: str):
    path = the(home / "data", pattern)
    flip_bit(path, 0.5)
    planned = call_cli(home, "train", "tiny.toml", "--plan", "--json").json["plan"]
    flip_bit(path, 0.5)  # as it was
    first = next(each for each in planned if not each["cached"])
    assert first["step"] == step
    assert first["reason"].endswith(f"{path.name} is damaged")


@pytest.mark.usefixtures("digests")
def test_train_does_damaged_steps_again_and_says_so(home: Path):
    before = runs(home)
    for pattern in FILES:
        flip_bit(the(home / "data", pattern), 0.5)
    result = train(home)
    lines = [line for line in result["said"].splitlines() if "is damaged" in line]
    for step in {*FILES.values()}:
        assert sum(f"doing the step {step} again" in line for line in lines) == 1
    assert len(lines) == len({*FILES.values()})
    assert result["version"] == 1
    assert runs(home) == before  # the second training's own run is deleted
    assert all(train(home)["cached"].values())


@pytest.mark.usefixtures("digests")
def test_only_the_exported_model_is_rebuilt_if_the_best_checkpoint_is_intact(home: Path):
    best = the(home / "data", "models/tiny/*/best.safetensors")
    before = best.stat().st_mtime_ns
    flip_bit(best.with_name("model.safetensors"))
    assert "model.safetensors is damaged" in train(home)["said"]
    assert best.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "patterns",
    [
        ["corpora/tiny/*/references/*/text.npy"],
        ["corpora/tiny/*/references/*/reference.json"],
        ["corpora/tiny/*/documents-00000.parquet", "baselines/tiny/*/best.safetensors"],
        ["generated/tiny/v1-*/data/train-00000.parquet"],
        ["generated/tiny/v1-*/manifest.json"],
    ],
    ids=["reference", "reference's record", "inputs", "texts", "manifest"],
)
@pytest.mark.usefixtures("digests")
def test_generate_rebuilds_damaged_inputs_and_texts(home: Path, patterns: list[str]):
    before = generate(home)
    for pattern in patterns:
        flip_bit(the(home / "data", pattern), 0.5)
    if "generated" not in patterns[0]:
        shutil.rmtree(before["uri"])
    after = generate(home)
    assert after["digest"] == before["digest"]
    assert after["audit"] == before["audit"]
    lines = [line for line in after["said"].splitlines() if "again" in line]
    assert len(lines) == len(patterns), lines
    assert all("is damaged" in line for line in lines)


@pytest.mark.usefixtures("digests")
def test_a_damaged_checkpoint_in_the_registry_is_replaced_with_the_copy_of_training(home: Path):
    path = registry.checkpoint_path(Home(home), version(home))
    before = file_digest(path)
    flip_bit(path)
    assert "was damaged; it was replaced" in generate(home)["said"]
    assert file_digest(path) == before
    flip_bit(path)
    assert "was damaged; it was replaced" in train(home)["said"]
    assert file_digest(path) == before


@pytest.mark.usefixtures("digests")
@pytest.mark.parametrize("again", [train, generate])
def test_a_missing_checkpoint_in_the_registry_is_replaced_with_the_one_of_training(
    home: Path, again: Callable[[Path], Any]
):
    path = registry.checkpoint_path(Home(home), version(home))
    before = file_digest(path)
    path.unlink()
    assert "was missing; it was replaced" in again(home)["said"]
    assert file_digest(path) == before


@pytest.mark.usefixtures("digests")
@pytest.mark.parametrize("arguments", [["generate", "tiny", "--count", "9"], ["evaluate", "tiny"]])
def test_a_damaged_checkpoint_without_a_copy_is_refused_until_it_is_trained_again(
    home: Path, arguments: list[str]
):
    path = registry.checkpoint_path(Home(home), version(home))
    flip_bit(path)
    shutil.rmtree(home / "data" / "models")
    finished = fork_cli(home, *arguments)
    assert finished.status == 1
    (line,) = finished.err.strip().splitlines()
    assert str(path.name) in line
    assert "rnnlm rollback tiny" in line
    train(home)
    assert fork_cli(home, *arguments).status == 0


@pytest.mark.usefixtures("digests")
def test_a_damaged_corpus_whose_source_is_gone_is_refused(home: Path):
    shard, text = the(home / "data", "corpora/tiny/*/documents-00000.parquet"), home / "tiny.txt"
    good = shard.read_bytes()
    flip_bit(shard, 0.5)
    text.rename(home / "away.txt")
    try:
        finished = fork_cli(home, "generate", "tiny", "--count", "41")
        (line,) = finished.err.strip().splitlines()
        assert "documents-00000.parquet is damaged, and it cannot be rebuilt" in line
    finally:
        (home / "away.txt").rename(text)
        shard.write_bytes(good)
