import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rnnlm import checkpoint
from rnnlm.errors import RnnlmError
from rnnlm.progress import Progress
from rnnlm.training.api import train
from rnnlm.training.group import Group
from rnnlm.training.history import read_history
from rnnlm.training.launch import _cause
from rnnlm.training.trained import BEST_FILE, LAST_FILE
from tests.conftest import tiny_experiment
from tests.flows.serving import free_port
from tests.training.conftest import weights
from tests.training.test_objective import window_of

CURVE = ("train/nll_nats_per_token", "validation/nll_nats_per_token", "train/gradient_norm")


def test_shares_cover_every_lane_once():
    window = window_of([5, 4, 3, 2, 1], 5)
    shares = [Group(rank, 3).share(window) for rank in range(3)]
    assert [len(share.fresh) for share in shares] == [1, 2, 2]
    assert [share.tokens for share in shares] == [5, 7, 3]
    assert [*shares[1].documents] == [1, 2]


@pytest.mark.parametrize(
    ("statuses", "said", "cause"),
    [
        ([1, None], ["x", "ValueError: no luck"], "ValueError: no luck"),
        ([1, -9], ["RuntimeError: lost the other"], "one was killed by SIGKILL"),
        (
            [1, 1],
            ["[rank1]: torch.OutOfMemoryError: CUDA out of memory"],
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        ([None, 2], ["something", " "], "something"),
        ([1], [], "no output"),
    ],
)
def test_the_cause_is_read_from_exit_statuses_and_output(
    statuses: list[int | None], said: list[str], cause: str
):
    assert _cause(statuses, said) == cause


def test_there_may_be_fewer_lanes_than_processes():
    window = window_of([2], 2)
    assert sorted(len(Group(rank, 3).share(window).fresh) for rank in range(3)) == [0, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("feed", ["documents", "stream"])
def test_two_processes_take_the_same_steps_as_one(feed: str, tokens_uri: str, tmp_path: Path):
    settings = {"feed": feed, "bptt": 7, "budget": "2 epochs", "precision": "fp32"}
    one = tiny_experiment(training=settings)
    two = tiny_experiment(training={**settings, "processes": 2})
    train(tokens_uri, one, tmp_path / "one")
    reports: list[Progress] = []
    train(tokens_uri, two, tmp_path / "two", reports.append)
    mine, theirs = (read_history(str(tmp_path / name)) for name in ("one", "two"))
    assert [row["step"] for row in mine] == [row["step"] for row in theirs]
    for row, other in zip(mine, theirs, strict=True):
        for name in CURVE:
            assert (name in row) == (name in other)
            if name in row:
                assert row[name] == pytest.approx(other[name], rel=1e-4), (name, row["step"])
    assert reports[-1].step == mine[-1]["step"]


@pytest.mark.slow
def test_processes_started_by_torchrun_take_the_same_steps(tokens_uri: str, tmp_path: Path):
    settings = {"bptt": 7, "budget": "1 epoch", "precision": "fp32", "processes": 2}
    experiment = tiny_experiment(training=settings)
    train(tokens_uri, experiment, tmp_path / "ours")
    described = tmp_path / "experiment.json"
    described.write_text(experiment.model_dump_json())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    worker = ["-m", "rnnlm.training.worker", tokens_uri, str(described), str(tmp_path / "theirs")]
    done = subprocess.run([*torchrun, *worker], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (weights(tmp_path / name / BEST_FILE) for name in ("ours", "theirs"))
    for name, value in one.items():
        assert (value - two[name]).abs().max() < 1e-5


@pytest.mark.slow
def test_two_stopped_processes_resume(tokens_uri: str, tmp_path: Path):
    settings = {"feed": "stream", "bptt": 7, "budget": "2 epochs", "processes": 2}
    experiment = tiny_experiment(training=settings, model={"dropout": 0.3})
    train(tokens_uri, experiment, tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.step >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tokens_uri, experiment, tmp_path / "parts", interrupt)
    stopped = checkpoint.load_tensors(tmp_path / "parts" / LAST_FILE)[1]
    assert stopped["step"] >= 5
    train(tokens_uri, experiment, tmp_path / "parts")
    one, two = (weights(tmp_path / name / BEST_FILE) for name in ("whole", "parts"))
    for name, value in one.items():
        assert (value - two[name]).abs().max() < 1e-5


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_one_line_error(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"budget": "1000 epochs", "processes": 2})

    def kill_a_worker(progress: Progress) -> None:
        if progress.step == 3:
            threading.Timer(0.1, _kill_one_worker, [str(tmp_path)]).start()

    with pytest.raises(RnnlmError, match="one was killed by SIGKILL"):
        train(tokens_uri, experiment, tmp_path, kill_a_worker)


def _kill_one_worker(folder: str) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "rnnlm.training.worker" in command and any(folder in part for part in command):
                process.kill()
                return
