"""Test real workers: a pool of processes, and a Dask cluster with TLS."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from flows.runtime.dask_workers import SCHEDULER
from flows.runtime.workers import WORKERS, WORTH_WORKERS, executor
from rnnlm import checkpoint
from rnnlm.config import CorpusConfig, GenerationConfig, SplitConfig
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.errors import ConfigError, CorpusError
from rnnlm.generation.job import generate
from rnnlm.models import build
from rnnlm.progress import Progress
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ingest_text, lines, tiny_experiment


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WORKERS, SCHEDULER):
        monkeypatch.delenv(name, raising=False)


def test_little_work_needs_no_workers(monkeypatch: pytest.MonkeyPatch):
    with executor(WORTH_WORKERS - 1) as workers:
        assert workers is None
    monkeypatch.setenv(WORKERS, "1")
    with executor(10 * WORTH_WORKERS) as workers:
        assert workers is None


def test_there_is_one_process_for_each_gpu():
    with executor(10 * WORTH_WORKERS, 1) as workers:
        assert workers is None
    with executor(10 * WORTH_WORKERS, 3) as workers:
        assert workers._workers == 3


@pytest.mark.parametrize("value", ["0", "-1", "many", "1000000"])
def test_a_wrong_number_of_workers_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv(WORKERS, value)
    with pytest.raises(ConfigError, match="expected a number of processes"), executor(1):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "text").write_text(lines(3000))
    alone = ingest_text(tmp_path / "text", tmp_path / "alone", shard_bytes=1000)
    config = CorpusConfig(source=str(tmp_path / "text"), shard_bytes=1000)
    files, splits = locate(config, tmp_path), SplitConfig(validation=0.2, test=0.2)
    monkeypatch.setenv(WORKERS, "2")
    with executor(1) as workers:
        together = ingest(files, config, splits, tmp_path / "here", executor=workers)
    monkeypatch.delenv(WORKERS)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv(SCHEDULER, cluster.scheduler_address)
        with executor(1) as workers:
            elsewhere = ingest(files, config, splits, tmp_path / "there", executor=workers)
    assert alone.digest == together.digest == elsewhere.digest
    for shard in Path(alone.uri).iterdir():
        for other in ("here", "there"):
            assert (tmp_path / other / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shards_of_a_lost_worker_are_generated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc 123")
    model = tmp_path / "model.safetensors"
    checkpoint.save(model, build(experiment.model, tokenizer.vocab_size), tokenizer, experiment, {})
    config = GenerationConfig(count=30_000, shard_size=1000, max_length=50, unique=True)
    alone = generate(model, config, tmp_path / "alone", "text")
    lost: list[int] = []

    def lose_a_worker(progress: Progress) -> None:
        if progress.done >= 3000 and not lost:
            workers = psutil.Process().children(recursive=True)
            lost.extend(child.pid for child in workers if "spawn_main" in " ".join(child.cmdline()))
            os.kill(lost[-1], signal.SIGKILL)

    monkeypatch.setenv(WORKERS, "2")
    with executor(1) as workers:
        out = tmp_path / "here"
        here = generate(model, config, out, "text", executor=workers, on_progress=lose_a_worker)
    assert lost
    assert here.digest == alone.digest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_error_in_a_worker_has_the_same_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "bad.jsonl").write_text('{"text": "x"}\nno json\n')
    config = CorpusConfig(source=str(tmp_path / "bad.jsonl"))
    monkeypatch.setenv(WORKERS, "2")
    with executor(1) as workers, pytest.raises(CorpusError, match=r"bad\.jsonl, line 2: no JSON"):
        ingest(locate(config, tmp_path), config, SplitConfig(), tmp_path / "out", executor=workers)
