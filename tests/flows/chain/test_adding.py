"""Test that a stage can be added as docs/architecture.md describes: a new file, a list entry."""

import shutil
from pathlib import Path

import mlflow
import pytest

from tests.conftest import ROOT, run_cli, write_tiny
from tests.test_how_to import follow, how_to


@pytest.mark.slow
def test_adding_a_stage_takes_one_new_file_and_a_list_entry(tmp_path: Path):
    code, home = tmp_path / "code", tmp_path / "home"
    home.mkdir()
    for package in ("flows", "rnnlm"):
        shutil.copytree(ROOT / package, code / package)
    follow(how_to("a stage"), code)
    write_tiny(home)

    def run(*arguments: str) -> str:
        finished = run_cli(home, "train", "tiny.toml", *arguments, PYTHONPATH=str(code))
        assert finished.status == 0, finished.err
        return finished.out + finished.err

    assert "largest" in run("--plan")
    assert "largest" in run()
    assert [*home.glob("data/largest/tiny/*/.step.json")]
    row = next(line for line in run("--plan").splitlines() if line.startswith("largest"))
    assert "be cached" in row
    store = mlflow.MlflowClient(f"sqlite:///{home}/mlruns/mlflow.db")
    experiment = store.get_experiment_by_name("tiny")
    assert experiment is not None
    (found,) = store.search_runs([experiment.experiment_id])
    assert found.data.tags["stage.largest"].endswith("characters")
    assert found.data.tags["stage.train"].endswith("bits/character")
