"""Test the contents of MLflow and Prefect after a real run."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from flows import registry, tracking
from flows.runtime import home as homes
from flows.runtime.home import Home
from rnnlm.config import load, override
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.engine.drawing import sample_texts
from rnnlm.errors import RegistryError
from rnnlm.evaluation.held_out import score_corpus
from rnnlm.training.trained import TrainedModel
from tests.conftest import ingest_text, lines


@pytest.fixture
def client(trained: Path) -> MlflowClient:
    return MlflowClient(Home(trained).tracking_uri)


def test_a_run_holds_config_curves_data_samples_and_scores(trained: Path, client: MlflowClient):
    result = json.loads((trained / "result.json").read_text())
    run = client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.hidden_size"] == "16"
    assert run.data.params["training.budget"] == "3 epochs"
    for split in ("train", "validation"):
        curve = client.get_metric_history(run.info.run_id, f"by_step/{split}_nll_nats_per_token")
        assert len({point.step for point in curve}) >= 3
    assert run.data.metrics["test/bits_per_character"] == pytest.approx(
        result["test"]["bits_per_character"]
    )
    assert run.inputs.dataset_inputs[0].dataset.digest == result["corpus"]["digest"][:36]
    samples = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "samples")]
    assert samples == [f"samples/temperature-{t}.txt" for t in (0.5, 0.8, 1.1)]
    assert "bits per character" in run.data.tags["mlflow.note.content"].splitlines()[0]
    assert run.info.run_name.startswith("tiny/1 · lstm 1×16 · 20")


def test_the_card_is_shown_without_its_metadata(client: MlflowClient, trained: Path):
    result = json.loads((trained / "result.json").read_text())
    folder = mlflow.artifacts.download_artifacts(
        run_id=result["run_id"],
        artifact_path="generated/README.md",
        tracking_uri=Home(trained).tracking_uri,
    )
    card = Path(folder).read_text()
    assert card.startswith("# tiny: 30 generated texts\n")
    assert "](" not in card.partition("## How")[0].replace("](path", "")
    assert "**Licence**: not chosen yet." in card


def test_single_values_come_after_the_curves(trained: Path, client: MlflowClient):
    run_id = json.loads((trained / "result.json").read_text())["run_id"]
    groups: dict[str, int] = {}
    for name in client.get_run(run_id).data.metrics:
        group = name.rpartition("/")[0]
        points = len({p.step for p in client.get_metric_history(run_id, name)})
        groups[group] = max(groups.get(group, 0), points)
    shown = [groups[name] > 1 for name in sorted(groups) if name != "system"]
    assert shown == sorted(shown, reverse=True)  # MLflow orders groups of charts by name


def test_the_prefect_run_and_the_mlflow_run_refer_to_each_other(
    trained: Path, client: MlflowClient
):
    run_id = json.loads((trained / "result.json").read_text())["run_id"]
    flow_run = client.get_run(run_id).data.tags["prefect.flow_run_id"]
    database = sqlite3.connect(trained / "data" / "prefect" / "prefect.db")
    found = database.execute(
        "select data from artifact where key = 'mlflow-run' and flow_run_id = ?", (flow_run,)
    ).fetchall()
    states = database.execute(
        "select state_type from flow_run where id = ?", (flow_run,)
    ).fetchall()
    database.close()
    assert run_id in found[0][0]
    assert states == [("COMPLETED",)]


def test_the_champion_loads_in_a_fresh_process_and_generates(trained: Path, tmp_path: Path):
    script = f"""
import json, sys, warnings
import mlflow, pandas as pd
mlflow.set_tracking_uri({Home(trained).tracking_uri!r})
model = mlflow.pyfunc.load_model("models:/tiny@champion")
ask = pd.DataFrame({{"prompt": ["red", ""]}})
params = {{"temperature": 1.0, "top_k": 5, "top_p": 0.9, "seed": 3, "max_length": 12, "count": 2}}
one, two = model.predict(ask, params=params), model.predict(ask, params=params)
assert one.equals(two)
assert not model.predict(ask, params={{**params, "seed": 4}}).equals(one)
print(json.dumps(one.to_dict("records")))
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rows = json.loads(finished.stdout)
    assert [row["prompt"] for row in rows] == ["red", "red", "", ""]
    assert all(row["text"].startswith(row["prompt"]) for row in rows)
    assert all(len(row["text"]) <= len(row["prompt"]) + 12 for row in rows)


def test_loading_a_checkpoint_runs_nothing_from_the_store(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    version = registry.resolve(Home(trained), "tiny")
    folder = registry.checkpoint_path(Home(trained), version).parent.parent
    copy, written = tmp_path / "model", tmp_path / "written"
    shutil.copytree(folder, copy)
    hostile = f"\nopen({str(written)!r}, 'a').write('ran')\n"
    for path in copy.rglob("*.py"):
        path.write_text(path.read_text() + hostile)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_, **__: str(copy))
    monkeypatch.setenv("RNNLM_HOME", str(trained))
    loaded = registry.load_model("tiny@champion")
    texts = sample_texts(loaded, override(loaded.experiment.generation, {"count": 2}))
    assert len(texts) == 2
    assert not written.exists()
    script = f"import mlflow; mlflow.pyfunc.load_model({str(copy)!r})"
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert written.exists()  # MLflow's own loader does run it


def test_mlflow_is_never_started_with_pickles_allowed(tmp_path: Path):
    script = """
import os
from pathlib import Path
os.environ.pop("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", None)
from flows.runtime.home import Home
from flows.servers import mlflow_server
from flows.tracking import connect
home = Home(Path.cwd())
server = mlflow_server.command(home, home.tracking_uri, "127.0.0.1", 1, home.root)
connect(home)
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION as allowed
assert not allowed.get()
assert server.environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_the_packaged_model_holds_nothing_pickled(trained: Path):
    version = registry.resolve(Home(trained), "tiny")
    folder = registry.checkpoint_path(Home(trained), version).parent.parent
    files = [path for path in folder.rglob("*") if path.is_file()]
    suffixes = {path.suffix for path in files if path.parent.name != "__pycache__"}
    code = {".py", ".c", ".h", ".so", ".typed"}
    assert suffixes <= code | {"", ".safetensors", ".yaml", ".txt", ".toml"}
    assert (
        len([path for path in files if path.suffix == ".safetensors"]) == 1
    )  # the bases are not packaged
    assert "loader_module: mlflow.pyfunc.loaders.code_model" in (folder / "MLmodel").read_text()


def test_a_lost_run_is_written_again_from_disk(trained: Path, tmp_path: Path):
    def recorded(kind: str) -> dict[str, object]:
        record = next((trained / "data" / kind).rglob(".step.json"))
        result: dict[str, object] = json.loads(record.read_text())["result"]
        return result

    elsewhere = Home(tmp_path)
    experiment = load(trained / "tiny.toml")
    model = TrainedModel.model_validate(recorded("models"))
    model = model.model_copy(
        update={"uri": str(trained / "data/models/tiny" / Path(model.uri).name)}
    )
    corpus = Corpus.model_validate(recorded("corpora"))
    tokens = Tokens.model_validate(recorded("tokens"))
    run_id = tracking.ensure_run(elsewhere, experiment, corpus, tokens, model)
    assert tracking.ensure_run(elsewhere, experiment, corpus, tokens, model) == run_id
    client = MlflowClient(elsewhere.tracking_uri)
    assert len(client.get_metric_history(run_id, "by_step/validation_bits_per_character")) == 3


def test_a_version_can_be_scored_on_any_corpus(trained: Path, tmp_path: Path):
    version = registry.resolve(Home(trained), "tiny")
    path = registry.checkpoint_path(Home(trained), version)
    same = score_corpus(path, str(trained / version.corpus_uri), tmp_path / "same").figures
    assert same["bits_per_character"] == pytest.approx(version.test_bits_per_character, rel=1e-5)
    (tmp_path / "other.txt").write_text(lines(200).upper())
    other = ingest_text(tmp_path / "other.txt", tmp_path / "corpus")
    worse = score_corpus(path, other.uri, tmp_path / "worse").figures
    assert worse["bits_per_character"] > same["bits_per_character"]


def test_a_version_with_missing_files_is_a_clear_error(trained: Path, tmp_path: Path):
    version = registry.resolve(Home(trained), "tiny")
    folder = registry.checkpoint_path(Home(trained), version).parent.parent
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    try:
        with pytest.raises(RegistryError, match="are missing from the artifact store"):
            registry.checkpoint_path(Home(trained), version)
    finally:
        hidden.rename(folder)


def test_the_home_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RNNLM_HOME", "/somewhere")
    assert homes.current().data == Path("/somewhere/data")
    monkeypatch.delenv("RNNLM_HOME")
    assert homes.current().data == Path("data")
