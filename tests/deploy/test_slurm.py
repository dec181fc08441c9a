"""Run the scripts in `deploy/slurm` on a real Slurm cluster of two nodes."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnlm import checkpoint
from rnnlm.header import load_facts
from tests.conftest import ROOT, fork_cli, write_tiny
from tests.deploy.clusters import Slurm, slurm

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.soak]
SCRIPTS = ROOT / "deploy" / "slurm"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a trained model."""
    root = tmp_path_factory.mktemp("home")
    write_tiny(root)
    assert fork_cli(root, "train", "tiny.toml", "--json").status == 0
    return root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A cluster with `rnnlm` and `torchrun` on the jobs' PATH."""
    folder = tmp_path_factory.mktemp("slurm")
    programs = folder / "bin"
    programs.mkdir()
    for name, module in {"rnnlm": "flows.cli", "torchrun": "torch.distributed.run"}.items():
        program = programs / name
        program.write_text(
            f'#!/bin/sh\nexport PYTHONPATH={ROOT}\nexec {sys.executable} -m {module} "$@"\n'
        )
        program.chmod(0o755)
    with slurm(folder, f"{programs}{os.pathsep}{os.environ['PATH']}") as running:
        yield running


def submit(cluster: Slurm, home: Path, *words: str) -> list[str]:
    """Run `generate.sh` in a home; return the ids of its two jobs."""
    said = cluster.run(str(SCRIPTS / "generate.sh"), *words, cwd=home)
    return [line.split()[2].rstrip(",") for line in said.splitlines()]


def test_parts_on_two_nodes_make_the_data_set_of_one_process(home: Path, cluster: Slurm):
    wanted = fork_cli(home, "generate", "tiny", "--count", "2500", "--out", "one", "--json").json
    words = ("tiny", "--count", "2500", "--out", "many")
    drawing, writing = submit(cluster, home, "3", *words)
    cluster.wait(300)
    logs = {path.name: path.read_text() for path in home.glob("rnnlm-*.log")}
    assert cluster.state(writing) == "COMPLETED", logs
    assert {f"rnnlm-draw-{drawing}-{part}.log" for part in (1, 2, 3)} < logs.keys()
    manifest = json.loads((home / "many" / "manifest.json").read_text())
    assert manifest["data_set"]["digest"] == wanted["digest"]
    assert not (home / "many" / ".work").exists()


def test_a_part_that_is_requeued_while_it_runs_is_drawn_once(home: Path, cluster: Slurm):
    words = ("tiny", "--count", "2600", "--unique", "--out", "again")
    drawing, writing = submit(cluster, home, "2", *words)
    while cluster.state(f"{drawing}_1") != "RUNNING":
        pass
    cluster.run("scontrol", "requeue", f"{drawing}_1")
    cluster.wait(400)
    assert cluster.state(writing) == "COMPLETED"
    wanted = fork_cli(home, "generate", *words[:-1], "alone", "--json").json
    manifest = json.loads((home / "again" / "manifest.json").read_text())
    assert manifest["data_set"]["digest"] == wanted["digest"]


def test_a_failed_part_keeps_the_data_set_from_being_written(home: Path, cluster: Slurm):
    _, writing = submit(cluster, home, "2", "nobody", "--count", "10", "--out", "failed")
    cluster.wait(200)
    assert cluster.state(writing) in ("CANCELLED", "PENDING")
    assert not (home / "failed").exists()


def test_two_nodes_train_one_model(home: Path, cluster: Slurm, tmp_path: Path):
    (tokens,) = (home / "data" / "tokens" / "tiny").glob("*/")
    (alone,) = (home / "data" / "models" / "tiny").glob("*/best.safetensors")
    experiment = checkpoint.load(alone).experiment
    described = tmp_path / "experiment.json"
    described.write_text(experiment.model_dump_json())
    out = tmp_path / "out"
    cluster.run(
        "sbatch", "--parsable", str(SCRIPTS / "train.sbatch"), str(tokens), str(described),
        str(out), cwd=tmp_path,
    )  # fmt: skip
    cluster.wait(300)
    (log,) = tmp_path.glob("rnnlm-train-*.log")
    together = load_facts(out / "best.safetensors")
    assert together["tokens"] == load_facts(alone)["tokens"], log.read_text()
