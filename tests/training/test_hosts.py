"""Test training on two hosts with torchrun, one of which goes down."""

import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from rnnlm.config import Experiment
from rnnlm.training.api import train
from rnnlm.training.history import read_history
from rnnlm.training.trained import BEST_FILE, LAST_FILE
from tests.conftest import tiny_experiment
from tests.flows.hosts import Host, hosts
from tests.training.conftest import weights

pytestmark = pytest.mark.service
WAITS = "last_call_timeout=3,keep_alive_interval=1,keep_alive_max_attempt=2"
"""Seconds that torchrun waits for further hosts, and for a sign of life of each."""


@pytest.fixture
def pair(tokens_uri: str, tmp_path: Path) -> Iterator[list[Host]]:
    """Two hosts whose shared folder holds tokens."""
    shared = tmp_path / "shared"
    shutil.copytree(tokens_uri, shared / "tokens")
    with hosts(shared, tmp_path / "mounted", 2) as both:
        yield both


def start(pair: list[Host], experiment: Experiment) -> list[Popen[str]]:
    """Start torchrun on both hosts; each uses relative paths in the shared folder."""
    (pair[0].shared / "experiment.json").write_text(experiment.model_dump_json())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2"]
    torchrun += ["--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-id", "1", "--rdzv-endpoint", f"{pair[0].address}:29400"]
    return [
        host.run(
            *(*torchrun, "--rdzv-conf", f"is_host={host is pair[0]},{WAITS}"),
            *("--local-addr", host.address, "-m", "rnnlm.training.worker"),
            *("tokens", "experiment.json", "out"),
            GLOO_SOCKET_IFNAME=host.interface,
        )
        for host in pair
    ]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.soak
def test_the_remaining_host_goes_on_alone(
    pair: list[Host], tokens_uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    settings = {"feed": "stream", "bptt": 7, "budget": "30 epochs", "precision": "fp32"}
    experiment = tiny_experiment(training=settings)
    train(tokens_uri, experiment, tmp_path / "alone")
    out = pair[0].shared / "out"
    first, _ = start(pair, experiment)
    wait_for(out / LAST_FILE)
    pair[1].go_down()
    said, _ = first.communicate(timeout=180)
    errors = capfd.readouterr().err
    assert first.returncode == 0, errors
    lost = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lost) == 1
    assert re.match(r"error: another training process was lost \([^.\]]+.+; run the same", lost[0])
    assert said.splitlines()[-1].startswith("step ")
    mine, theirs = (read_history(str(folder)) for folder in (tmp_path / "alone", out))
    assert [row["step"] for row in mine] == [row["step"] for row in theirs]
    for name, value in weights(tmp_path / "alone" / BEST_FILE).items():
        assert (value - weights(out / BEST_FILE)[name]).abs().max() < 1e-3
