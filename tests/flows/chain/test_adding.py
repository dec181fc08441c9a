"""Test that a stage can be added as docs/architecture.md describes: a new file, a list entry."""

import shutil
from pathlib import Path

import mlflow
import pytest

from tests.conftest import ROOT, run_cli, write_tiny

TOY = '''
from pydantic import BaseModel

from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage


class Longest(BaseModel):
    uri: str
    characters: int


class FindLongest(RecordedStage[Longest]):
    """The longest document of a corpus."""
    name, version, result_type, folder = "longest", 1, Longest, "longest"

    def ingredients(self, run):
        return {"corpus": run[Ingest].digest}

    def work(self, run, out, tell):
        out.mkdir(parents=True)
        return Longest(uri=str(out), characters=max(run[Ingest].characters.values()))

    def describe(self, run, result):
        return f"{result.characters:,} characters"
'''


@pytest.mark.slow
def test_adding_a_stage_takes_one_new_file_and_a_list_entry(tmp_path: Path):
    code, home = tmp_path / "code", tmp_path / "home"
    home.mkdir()
    for package in ("flows", "rnnlm"):
        shutil.copytree(ROOT / package, code / package)
    (code / "flows" / "chain" / "longest.py").write_text(TOY)
    stages = code / "flows" / "chain" / "stages.py"
    listed = stages.read_text().replace("    Count(),\n", "    FindLongest(),\n    Count(),\n")
    stages.write_text(
        listed.replace("from typing", "from flows.chain.longest import FindLongest\nfrom typing")
    )
    write_tiny(home)

    def run(*arguments: str) -> str:
        finished = run_cli(home, "train", "tiny.toml", *arguments, PYTHONPATH=str(code))
        assert finished.status == 0, finished.err
        return finished.out + finished.err

    assert "longest" in run("--plan")
    assert "longest" in run()
    assert [*home.glob("data/longest/tiny/*/.step.json")]
    row = next(line for line in run("--plan").splitlines() if line.startswith("longest"))
    assert "be cached" in row
    store = mlflow.MlflowClient(f"sqlite:///{home}/mlruns/mlflow.db")
    experiment = store.get_experiment_by_name("tiny")
    assert experiment is not None
    (found,) = store.search_runs([experiment.experiment_id])
    assert found.data.tags["stage.longest"].endswith("characters")
    assert found.data.tags["stage.train"].endswith("bits/character")
