"""Test a real Dask cluster: TLS, workers that differ or are lost, and a lost scheduler."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster, Security

from flows.runtime import dask_workers
from flows.runtime.dask_workers import PATIENCE, SCHEDULER
from flows.runtime.workers import WORKERS, executor
from rnnlm.errors import ConfigError, WorkerError
from rnnlm.parallel import run_all
from tests.conftest import ROOT, fork_cli, write_tiny
from tests.flows.serving import free_port

DASK = Path(sys.executable).with_name("dask")
StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WORKERS, SCHEDULER, PATIENCE):
        monkeypatch.delenv(name, raising=False)


def test_without_dask_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigError, match=r"not installed; run `pip install distributed`"),
        dask_workers.cluster("tcp://127.0.0.1:1", tmp_path),
    ):
        pass


@contextlib.contextmanager
def dask(*words: str, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of Dask."""
    process = subprocess.Popen(
        [DASK, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def scheduler(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator["subprocess.Popen[bytes]"]:
    """A scheduler without workers, whose address is set; its parameter is its environment."""
    port, settings = free_port(), getattr(request, "param", {})
    monkeypatch.setenv(SCHEDULER, f"tcp://127.0.0.1:{port}")
    words = ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with dask(*words, **settings) as process:
        yield process


@pytest.fixture
def start_worker(scheduler: "subprocess.Popen[bytes]", tmp_path: Path) -> Iterator[StartWorker]:
    """Return a function that starts a worker in a folder of its own."""
    with contextlib.ExitStack() as stack:

        def start(*, before: tuple[str, ...] = (), **settings: str) -> "subprocess.Popen[bytes]":
            words = ("worker", os.environ[SCHEDULER], "--nthreads", "1", "--no-dashboard")
            words += ("--host", "127.0.0.1", "--no-nanny", "--local-directory", str(tmp_path))
            return stack.enter_context(dask(*words, **settings))

        yield start


def change_folder(number: int) -> int:
    return number + 1


def die(number: int) -> int:
    os._exit(number)


def wait_and_return(number: int) -> int:
    time.sleep(0.2)
    return number


@pytest.mark.slow
def test_a_training_and_its_texts_are_the_same_on_workers_in_another_folder(
    start_worker: StartWorker, tmp_path: Path
):
    home = tmp_path / "home"
    home.mkdir()
    write_tiny(home)
    start_worker()
    there = fork_cli(home, "train", "tiny.toml", "--json")
    assert there.status == 0, there.err
    alone = tmp_path / "alone"
    alone.mkdir()
    write_tiny(alone)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SCHEDULER)
        here = fork_cli(alone, "train", "tiny.toml", "--json")
    for folder in ("corpora", "tokens", "generated"):
        names = sorted(path.relative_to(home) for path in home.glob(f"data/{folder}/**/*.parquet"))
        assert names == sorted(
            path.relative_to(alone) for path in alone.glob(f"data/{folder}/**/*.parquet")
        )
        assert names
        for name in names:
            assert (home / name).read_bytes() == (alone / name).read_bytes()
    assert there.json["test"] == here.json["test"]


@pytest.mark.slow
def test_a_worker_with_other_source_code_is_refused_in_one_line(
    start_worker: StartWorker, tmp_path: Path
):
    shutil.copytree(ROOT / "rnnlm", tmp_path / "other" / "rnnlm")
    with (tmp_path / "other" / "rnnlm" / "sampling.py").open("a") as file:
        file.write("# another version\n")
    start_worker(PYTHONPATH=str(tmp_path / "other"))
    with (
        pytest.raises(WorkerError, match=r"^the worker on \S+ has other source code of rnnlm"),
        executor(1),
    ):
        pass


@pytest.mark.slow
def test_a_worker_with_another_version_of_a_package_is_refused(
    start_worker: StartWorker, tmp_path: Path
):
    info = tmp_path / "other" / "numpy-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    start_worker(PYTHONPATH=f"{tmp_path / 'other'}:{ROOT}")
    with (
        pytest.raises(WorkerError, match=r"has numpy 0\.1 \(expected .*, as here\)"),
        executor(1),
    ):
        pass


@pytest.mark.slow
def test_a_worker_without_rnnlm_is_refused(start_worker: StartWorker, tmp_path: Path):
    (tmp_path / "other").mkdir()
    hidden = "raise ModuleNotFoundError(\"No module named 'rnnlm'\", name='rnnlm')"
    (tmp_path / "other" / "rnnlm.py").write_text(hidden)
    start_worker(PYTHONPATH=str(tmp_path / "other"))
    with pytest.raises(WorkerError, match="lacks the package rnnlm"), executor(1):
        pass


@pytest.mark.slow
def test_a_worker_without_the_folder_is_refused(start_worker: StartWorker, tmp_path: Path):
    start_worker()
    with (
        pytest.raises(WorkerError, match=r"does not have the folder .*/gone; mount it there"),
        dask_workers.cluster(os.environ[SCHEDULER], tmp_path / "gone"),
    ):
        pass


@pytest.mark.slow
def test_a_cluster_without_workers_is_told_and_waited_for(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(dask_workers, "SAY_SECONDS", 0.5)
    monkeypatch.setenv(PATIENCE, "3")
    with (
        pytest.raises(WorkerError, match=r"has had no workers for 3 s .*; start one with `dask"),
        executor(1),
    ):
        pass
    assert "has no workers; start one with `dask worker tcp://127.0.0.1:" in caplog.text
    monkeypatch.delenv(PATIENCE)
    start_worker()
    with executor(1) as workers:
        assert dict(run_all(workers, change_folder, [1, 2])) == {0: 2, 1: 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheduler", [{"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}], indirect=True
)
def test_work_that_kills_its_workers_ends_in_one_line(start_worker: StartWorker):
    start_worker()
    said = "killed repeatedly by the same shard, possibly out"
    with executor(1) as workers, pytest.raises(WorkerError, match=said):
        list(run_all(workers, die, [1]))


@pytest.mark.slow
def test_a_lost_scheduler_ends_in_one_line(
    scheduler: "subprocess.Popen[bytes]", start_worker: StartWorker
):
    start_worker()
    with executor(1) as workers:
        results = run_all(workers, wait_and_return, range(1000))
        next(results)
        os.killpg(scheduler.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"scheduler tcp://\S+ is lost; start it, and run"):
            list(results)


@pytest.mark.slow
def test_workers_that_are_all_lost_end_the_wait_when_patience_does(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(PATIENCE, "4")
    worker = start_worker()
    with executor(1) as workers:
        results = run_all(workers, wait_and_return, range(1000))
        next(results)
        os.killpg(worker.pid, signal.SIGSTOP)
        os.killpg(worker.pid, signal.SIGTERM)
        os.killpg(worker.pid, signal.SIGCONT)
        with pytest.raises(WorkerError, match="has had no workers for 4 s"):
            list(results)


@pytest.mark.parametrize("value", ["0", "-1", "long", "nan"])
def test_a_wrong_patience_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setenv(PATIENCE, value)
    with pytest.raises(ConfigError, match="expected a number of seconds"), executor(1):
        pass


def test_an_unreachable_scheduler_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SCHEDULER, "nope://127.0.0.1:1")
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"), executor(1):
        pass


ASK = """
from flows.runtime.workers import executor
from rnnlm.errors import ConfigError
try:
    with executor(1) as workers:
        print(workers.submit(pow, 2, 5).result())
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_with_tls_accepts_only_clients_with_a_certificate(tmp_path: Path):
    security = Security.temporary()
    files = {}
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        files[name] = tmp_path / name
        files[name].write_text(getattr(security, name))
    settings = {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(files["tls_ca_file"]),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(files["tls_client_cert"]),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(files["tls_client_key"]),
    }
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, security=security
    ) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        without = ask(cluster.scheduler_address)
        assert "no Dask scheduler answers there" in without and without.count("\n") == 1
        assert ask(cluster.scheduler_address, **settings) == "32\n"


def ask(scheduler: str, **environment: str) -> str:
    paths = {SCHEDULER: scheduler, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(
        command, env={**os.environ, **paths, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
