"""Test that a generation job writes the same bytes, or none, whatever happens to it.

Jobs are killed, run by several processes, damaged and refused.
"""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rnnlm import checkpoint
from rnnlm.audit.card import CARD_FILE
from rnnlm.config import override
from rnnlm.errors import CheckpointError, GenerationError, StorageError
from rnnlm.generation.job import generate
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.generation.manifest import Source
from rnnlm.progress import Progress
from tests.generation.jobs import CONFIG, Stop, contents, run


def test_an_interrupted_job_ends_with_the_same_bytes(model: Path, tmp_path: Path):
    whole = run(model, tmp_path / "whole")
    for stop in (3, 14, 22):

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.done >= stop:
                raise Stop

        with pytest.raises(Stop):
            generate(model, CONFIG, tmp_path / "parts", "text", on_progress=interrupt)
        assert not (tmp_path / "parts" / MANIFEST_FILE).exists()
    parts = run(model, tmp_path / "parts")
    assert parts.digest == whole.digest
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("is_compared_at_first", [True, False])
def test_a_corpus_may_disappear_or_appear_while_texts_are_published(
    model: Path, source: Source, tmp_path: Path, is_compared_at_first: bool
):
    sources = (source, None) if is_compared_at_first else (None, source)
    whole = generate(model, CONFIG, tmp_path / "whole", "text", source=sources[1])

    def stop(progress: Progress) -> None:
        if progress.unit == "shards written":
            raise Stop

    out = tmp_path / "out"
    with pytest.raises(Stop):
        generate(model, CONFIG, out, "text", source=sources[0], on_progress=stop)
    assert (out / "data" / "train-00000.parquet").is_file()
    data_set = generate(model, CONFIG, out, "text", source=sources[1])
    assert contents(out) == contents(tmp_path / "whole")
    assert data_set.audit == whole.audit


@pytest.mark.slow
@pytest.mark.soak
def test_a_job_that_is_killed_twenty_times_ends_with_the_same_bytes(
    model: Path, source: Source, tmp_path: Path
):
    config = override(CONFIG, {"count": 1200, "shard_size": 40, "unique": True, "max_length": 9})
    whole = generate(model, config, tmp_path / "whole", "text", source=source)
    assert whole.drawn > 1200
    out, kills, chance = tmp_path / "parts", 0, random.Random(5)
    longest = 0.05
    while kills < 20 or not (out / MANIFEST_FILE).is_file():
        if (out / MANIFEST_FILE).is_file():  # the job finished: start over, and kill sooner
            shutil.rmtree(out)
            longest *= 0.7
        context = multiprocessing.get_context("fork")
        job = context.Process(
            target=generate, args=(model, config, out, "text"), kwargs={"source": source}
        )
        job.start()
        job.join(chance.uniform(0.0, longest))
        if job.is_alive():
            os.kill(job.pid, signal.SIGKILL)
            kills += 1
            longest *= 1.05
        job.join()
        for path in (out / "data").glob("train-*"):
            assert path.read_bytes() == (tmp_path / "whole" / "data" / path.name).read_bytes()
    assert contents(out) == contents(tmp_path / "whole")
    assert not [*out.glob(".*.tmp")]


def _with_little_space(bytes_left: int, *arguments) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, bytes_left))
    try:
        generate(*arguments)
    except StorageError:
        os._exit(3)
    os._exit(0)


def test_a_full_disk_loses_nothing(model: Path, tmp_path: Path):
    whole = run(model, tmp_path / "whole", count=2000, shard_size=1000)
    config = override(CONFIG, {"count": 2000, "shard_size": 1000})
    for bytes_left in (10, 2_000, 20_000):
        child = multiprocessing.get_context("fork").Process(
            target=_with_little_space,
            args=(bytes_left, model, config, tmp_path / "parts", "text"),
        )
        child.start()
        child.join()
        assert child.exitcode == 3
        assert not [*(tmp_path / "parts").rglob("*.tmp")]
    assert generate(model, config, tmp_path / "parts", "text").digest == whole.digest


@pytest.mark.parametrize("workers", [2, 8])
def test_any_number_of_workers_writes_the_same_bytes(
    model: Path, source: Source, tmp_path: Path, workers: int
):
    config = override(CONFIG, {"count": 200, "unique": True, "novel_only": True})
    generate(model, config, tmp_path / "one", "text", source=source)
    with ThreadPoolExecutor(workers) as pool:
        generate(model, config, tmp_path / "many", "text", source=source, executor=pool)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    manifests = [json.loads((tmp_path / n / MANIFEST_FILE).read_text()) for n in ("one", "many")]
    assert manifests[0]["audit"] == manifests[1]["audit"]


def test_concurrent_runs_of_one_job_make_one_data_set(model: Path, tmp_path: Path):
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(run, model, tmp_path / "out", count=300) for _ in range(3)]
        made = [job.result() for job in jobs]
    assert sum(not data_set.was_finished for data_set in made) == 1
    assert len({data_set.digest for data_set in made}) == 1
    assert not [*(tmp_path / "out").glob(".*")]


def test_a_finished_job_is_not_run_again(model: Path, tmp_path: Path):
    first = run(model, tmp_path / "out")
    reports: list[Progress] = []
    again = generate(model, CONFIG, tmp_path / "out", "text", on_progress=reports.append)
    assert again == first.model_copy(update={"was_finished": True})
    assert not reports


def test_a_damaged_shard_is_rewritten(model: Path, tmp_path: Path):
    first = run(model, tmp_path / "out")
    shard = tmp_path / "out" / "data" / "train-00001.parquet"
    good = shard.read_bytes()
    shard.write_bytes(b"torn")
    assert run(model, tmp_path / "out").digest == first.digest
    assert shard.read_bytes() == good


def test_a_lost_card_is_rewritten(model: Path, tmp_path: Path):
    first = run(model, tmp_path / "out")
    card = tmp_path / "out" / CARD_FILE
    content = card.read_bytes()
    card.unlink()
    assert run(model, tmp_path / "out") == first.model_copy(update={"was_finished": True})
    assert card.read_bytes() == content


def _as_nobody(model: Path, out: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        generate(model, CONFIG, out, "text")
    except StorageError as error:
        os._exit(3 if "\n" not in str(error) and "choose another --out" in str(error) else 4)
    os._exit(0)


def test_a_folder_without_read_permission_is_a_one_line_error(model: Path, tmp_path: Path):
    run(model, tmp_path / "out")  # so that everything is imported
    with tempfile.TemporaryDirectory() as name:
        open_folder, closed = Path(name), Path(name) / "closed"
        open_folder.chmod(0o755)
        shutil.copy(model, open_folder / "model").chmod(0o644)
        closed.mkdir()
        closed.chmod(0o000)
        child = multiprocessing.get_context("fork").Process(
            target=_as_nobody, args=(open_folder / "model", closed / "out")
        )
        child.start()
        child.join()
        closed.chmod(0o700)
    assert child.exitcode == 3


def test_a_folder_of_another_job_is_refused(model: Path, tmp_path: Path):
    run(model, tmp_path / "out")
    with pytest.raises(GenerationError, match="another job"):
        run(model, tmp_path / "out", seed=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(GenerationError, match="other files"):
        run(model, tmp_path / "other")
    assert [*(tmp_path / "other").iterdir()] == [tmp_path / "other" / "thesis.txt"]


def test_a_model_that_disappears_or_changes_during_a_job_is_noticed(model: Path, tmp_path: Path):
    def stop(progress: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        generate(model, CONFIG, tmp_path / "out", "text", on_progress=stop)
    before = checkpoint.load(model)
    facts = {**before.facts, "changed": True}
    checkpoint.save(model, before.model, before.tokenizer, before.experiment, facts)
    with pytest.raises(GenerationError, match="another job"):
        run(model, tmp_path / "out")
    model.unlink()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        run(model, tmp_path / "out")


def test_texts_that_another_job_drew_are_not_reused(model: Path, tmp_path: Path):
    def stop(progress: Progress) -> None:
        if progress.done >= 12:
            raise Stop

    whole = run(model, tmp_path / "whole", seed=9)
    with pytest.raises(Stop):
        generate(model, CONFIG, tmp_path / "out", "text", on_progress=stop)
    (tmp_path / "out" / "job.json").unlink()
    assert run(model, tmp_path / "out", seed=9).digest == whole.digest
