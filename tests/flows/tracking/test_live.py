"""Test that curves are sent to MLflow during training, and what happens if MLflow fails."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from mlflow.tracking import MlflowClient

from flows import registry, tracking
from flows.runtime.home import Home
from flows.tracking import live
from flows.tracking.connecting import connect
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens, tokenize
from rnnlm.errors import ServerError
from rnnlm.progress import Progress
from rnnlm.training.api import train
from tests.conftest import call_cli, ingest_text, lines, run_cli, tiny_experiment

Made = tuple[Experiment, Corpus, Tokens]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    experiment = tiny_experiment(training={"budget": "6 epochs", "validations": 6})
    (tmp_path / "tiny.txt").write_text(lines(200))
    corpus = ingest_text(tmp_path / "tiny.txt", tmp_path / "corpus")
    tokens = tokenize(corpus.uri, corpus.digest, experiment.tokenizer, tmp_path / "tokens")
    return experiment, corpus, tokens


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Run a real tracking server on SQLite in a folder; yield its address."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    idle = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=idle,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + 90
            while True:
                try:
                    httpx.get(f"{address}/health", timeout=2).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, 9)


def test_an_unreachable_server_is_a_one_line_error(trained: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    finished = call_cli(trained, "models")
    assert time.monotonic() - began < 10
    assert finished.status == 1
    assert "no MLflow server answers at MLFLOW_TRACKING_URI=http://127.0.0.1" in finished.err
    assert "rnnlm serve" in finished.err
    assert finished.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.soak
def test_a_server_that_goes_away_costs_no_points_and_stops_no_training(
    made: Made, tmp_path: Path, monkeypatch
):
    experiment, corpus, tokens = made
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.05)
    port, store = free_port(), tmp_path / "store"
    store.mkdir()
    home, out = Home(tmp_path), tmp_path / "model"
    with mlflow_server(store, port) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        opened = tracking.live_run(home, experiment, corpus, tokens, "key", out)
        run = opened.__enter__()
        run_id = run.run_id

    def tell(progress: Progress) -> None:  # the server has stopped by now
        run.log_row(progress.metrics)
        time.sleep(0.002)

    model = train(tokens.uri, experiment, out, tell)
    with mlflow_server(store, port):
        run.finish(model)
        opened.__exit__(None, None, None)
        client = MlflowClient(address)
        curve = client.get_metric_history(run_id, "by_step/validation_bits_per_character")
        assert len(curve) == len({point.step for point in curve}) == 6
        ended = client.get_run(run_id)
        assert ended.info.status == "FINISHED"
        assert ended.data.tags["rnnlm.checkpoint"] == model.digest


@pytest.mark.slow
def test_points_that_a_server_missed_are_sent_when_the_run_resumes(
    made: Made, tmp_path: Path, monkeypatch
):
    experiment, corpus, tokens = made
    port, store = free_port(), tmp_path / "store"
    store.mkdir()
    home, out = Home(tmp_path), tmp_path / "model"
    with mlflow_server(store, port) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        opened = tracking.live_run(home, experiment, corpus, tokens, "key", out)
        run = opened.__enter__()
    model = train(tokens.uri, experiment, out, lambda progress: run.log_row(progress.metrics))
    with pytest.raises(Exception, match=r"(?i)connection|retries"):
        run.finish(model)
    assert opened.__exit__(RuntimeError, RuntimeError(), None) is not True
    with mlflow_server(store, port):
        with tracking.live_run(home, experiment, corpus, tokens, "key", out) as again:
            assert again.run_id == run.run_id
            again.finish(train(tokens.uri, experiment, out))
        curve = MlflowClient(address).get_metric_history(run.run_id, "by_step/train_learning_rate")
        assert len({point.step for point in curve}) == len(curve) > 6
        assert MlflowClient(address).get_run(run.run_id).info.status == "FINISHED"


def copied(trained: Path, tmp_path: Path) -> Home:
    """Return a new home with a copy of the MLflow store of the home `trained`."""
    shutil.copytree(trained / "mlruns", tmp_path / "mlruns")
    return Home(tmp_path)


def test_a_deleted_experiment_is_restored(trained: Path, tmp_path: Path, made: Made):
    home = copied(trained, tmp_path)
    client = connect(home)
    client.delete_experiment(client.get_experiment_by_name("tiny").experiment_id)
    experiment, corpus, tokens = made
    with tracking.live_run(home, experiment, corpus, tokens, "other", tmp_path / "m") as run:
        assert client.get_run(run.run_id).info.lifecycle_stage == "active"
    assert client.get_experiment_by_name("tiny").lifecycle_stage == "active"


def test_the_error_for_a_store_of_another_schema_says_what_to_do(trained: Path, tmp_path: Path):
    home = copied(trained, tmp_path)
    with sqlite3.connect(home.mlruns / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'cfd24bdc0731'")
    database.close()
    with pytest.raises(ServerError, match="mlflow db upgrade sqlite:"):
        connect(home)


def test_a_corrupt_checkpoint_in_the_store_is_a_one_line_error(trained: Path):
    version = registry.resolve(Home(trained), "tiny")
    path = registry.checkpoint_path(Home(trained), version)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    models = trained / "data" / "models"
    models.rename(trained / "models")  # otherwise the copy there would replace the damaged file
    try:
        finished = call_cli(trained, "evaluate", "tiny")
        assert finished.status == 1
        assert "damaged" in finished.err
        assert finished.err.count("\n") == 1
    finally:
        (trained / "models").rename(models)
        path.write_bytes(whole)


@pytest.mark.slow
@pytest.mark.soak
def test_concurrent_processes_make_one_store(tmp_path: Path):
    imports = "from flows.runtime import home; from flows.tracking import connect"
    script = f"{imports}; connect(home.current())"
    environment = {**os.environ, "RNNLM_HOME": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    assert connect(Home(tmp_path)).search_experiments()


@pytest.mark.slow
def test_an_unreachable_prefect_server_is_a_clear_error(trained: Path):
    address = f"http://127.0.0.1:{free_port()}/api"
    finished = run_cli(trained, "train", "tiny.toml", "--force", PREFECT_API_URL=address)
    assert finished.status == 1
    assert "no Prefect server answers at PREFECT_API_URL=http://127.0.0.1" in finished.err
    assert "Traceback" not in finished.err
