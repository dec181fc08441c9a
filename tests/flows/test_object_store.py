"""Generate data sets into an object store, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from flows.runtime.home import Home
from flows.servers import stores
from rnnlm.errors import ServerError
from tests.conftest import ROOT, fork_cli, write_tiny
from tests.flows.serving import free_port
from tests.object_store import S3

pytestmark = pytest.mark.slow
GENERATE = ("generate", "tiny", "--count", "60")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3(free_port())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a trained model."""
    root = tmp_path_factory.mktemp("home")
    write_tiny(root)
    assert fork_cli(root, "train", "tiny.toml", "--json").status == 0
    return root


def test_a_data_set_is_written_to_a_store_and_logged_with_its_address(home: Path, s3: S3):
    here = fork_cli(home, *GENERATE, "--out", "here", "--json").json
    done = fork_cli(home, *GENERATE, "--out", "s3://texts/one", "--json", **s3.environment)
    assert done.status == 0, done.err
    assert done.json["uri"] == "s3://texts/one"
    assert done.json["digest"] == here["digest"]
    assert not (home / "s3:").exists()
    assert not [*(home / "data" / "outgoing").glob("*/*")]
    client = MlflowClient(Home(home).tracking_uri)
    runs = client.search_runs(
        [each.experiment_id for each in client.search_experiments()],
        "tags.`rnnlm.kind` = 'generation'",
    )
    assert len(runs) == 1  # the texts are those of the folder
    again = fork_cli(home, *GENERATE, "--out", "s3://texts/one", "--json", **s3.environment)
    assert again.json["was_finished"]


def test_an_upload_that_is_killed_is_finished_by_the_same_command(home: Path, s3: S3):
    address, seed = "s3://texts/killed", ("--seed", "5")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    environment = {**kept, **s3.environment, "RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "flows.cli", *GENERATE, *seed, "--out", address]
    command = subprocess.Popen(words, cwd=home, env=environment, stderr=subprocess.DEVNULL)
    while command.poll() is None and not s3.files.find("texts/killed/data"):
        time.sleep(0.01)
    command.send_signal(signal.SIGKILL)
    command.wait()
    done = fork_cli(home, *GENERATE, *seed, "--out", address, "--json", **s3.environment)
    assert done.status == 0, done.err
    here = fork_cli(home, *GENERATE, *seed, "--out", "there", "--json").json
    found = s3.objects(address)
    assert json.loads(found["manifest.json"])["data_set"]["digest"] == here["digest"]
    for path in (home / "there" / "data").iterdir():
        assert found[f"data/{path.name}"] == path.read_bytes()


def test_parts_are_written_to_a_store(home: Path, s3: S3):
    words = (*GENERATE, "--seed", "6", "--out", "s3://texts/parts")
    for part in ("2/2", "1/2"):
        assert fork_cli(home, *words, "--part", part, **s3.environment).status == 0
    done = fork_cli(home, *words, "--finish", "--json", **s3.environment)
    assert done.status == 0, done.err
    here = fork_cli(home, *GENERATE, "--seed", "6", "--out", "whole", "--json").json
    assert done.json["digest"] == here["digest"]


def test_a_store_that_does_not_answer_is_one_line_before_texts_are_drawn(home: Path):
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_MAX_ATTEMPTS": "1",
    }
    done = fork_cli(home, *GENERATE, "--out", "s3://texts/nobody", **environment)
    assert done.status == 1
    assert [line for line in done.err.splitlines() if line.startswith("error: s3://texts/nobody")]
    assert "Traceback" not in done.err
    assert not [*(home / "data" / "outgoing").glob("*/.work")]


def test_serve_refuses_an_artifact_store_that_cannot_be_used(tmp_path: Path, s3: S3):
    bucket = {"MLFLOW_ARTIFACTS_DESTINATION": "s3://no-such-bucket/x", **s3.environment}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.items():
            patch.setenv(name, value)
        with pytest.raises(ServerError, match=r"s3://no-such-bucket/x: .*bucket does not exist"):
            stores.prepare_mlflow(Home(tmp_path), stores.mlflow_store(Home(tmp_path)))
        (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError(name='boto3')")
        patch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(ServerError, match=r"boto3 is missing; run pip install '\.\[s3\]'"):
            stores.prepare_mlflow(Home(tmp_path), stores.mlflow_store(Home(tmp_path)))
