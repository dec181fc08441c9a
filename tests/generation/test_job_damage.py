"""A job whose files are damaged or removed makes the same texts, or is refused in one line."""

import shutil
from pathlib import Path

import pytest

from rnnlm.errors import GenerationError, StorageError
from rnnlm.generation.job import generate
from rnnlm.generation.job_folder import JOB_FILE, MANIFEST_FILE, WORK
from rnnlm.generation.manifest import Source
from rnnlm.progress import Progress
from tests.damage import cut, empty, flip_bit
from tests.generation.jobs import CONFIG, Stop, contents, run


def begin(model: Path, out: Path) -> None:
    """Leave a job after all texts were drawn and the first shard was written."""

    def stop(progress: Progress) -> None:
        if progress.unit == "shards written":
            raise Stop

    with pytest.raises(Stop):
        generate(model, CONFIG, out, "text", on_progress=stop)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (JOB_FILE, flip_bit),
        (JOB_FILE, cut),
        (f"{WORK}/drawn/000000.parquet", flip_bit),
        (f"{WORK}/drawn/000000.json", flip_bit),
        (f"{WORK}/drawn/000000.json", empty),
        (f"{WORK}/published/00000.json", cut),
        (f"{WORK}/kept.npy", cut),
        ("data/train-00000.parquet", flip_bit),
    ],
)
def test_an_interrupted_job_with_a_damaged_file_ends_with_the_same_bytes(
    model: Path, tmp_path: Path, name: str, damage
):
    run(model, tmp_path / "whole")
    begin(model, tmp_path / "out")
    damage(tmp_path / "out" / name)
    run(model, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (MANIFEST_FILE, flip_bit),
        (MANIFEST_FILE, cut),
        (MANIFEST_FILE, empty),
        ("data/train-00001.parquet", flip_bit),
    ],
)
def test_a_finished_job_with_a_damaged_file_is_done_again(
    model: Path, tmp_path: Path, name: str, damage, caplog: pytest.LogCaptureFixture
):
    before = run(model, tmp_path / "out")
    whole = contents(tmp_path / "out")
    damage(tmp_path / "out" / name)
    after = run(model, tmp_path / "out")
    assert f"{Path(name).name} is damaged" in caplog.text
    assert not after.was_finished
    assert after.digest == before.digest
    assert contents(tmp_path / "out") == whole
    assert run(model, tmp_path / "out").was_finished


def test_a_job_whose_damaged_settings_hide_another_job_is_refused(model: Path, tmp_path: Path):
    begin(model, tmp_path / "out")
    cut(tmp_path / "out" / JOB_FILE)
    with pytest.raises(GenerationError, match="another job"):
        run(model, tmp_path / "out", seed=7)


def test_a_job_whose_working_folder_is_removed_stops_and_can_be_finished(
    model: Path, tmp_path: Path
):
    def remove(progress: Progress) -> None:
        if progress.done == progress.total:
            shutil.rmtree(tmp_path / "out" / WORK, ignore_errors=True)

    with pytest.raises(StorageError, match="run the same command again") as caught:
        generate(model, CONFIG, tmp_path / "out", "text", on_progress=remove)
    assert "\n" not in str(caught.value)
    whole = run(model, tmp_path / "whole")
    assert run(model, tmp_path / "out").digest == whole.digest


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("text.npy", flip_bit),
        ("reference.json", cut),
        ("held_out.json", empty),
        ("words.npy", flip_bit),
    ],
)
def test_a_damaged_reference_is_built_again(
    model: Path,
    source: Source,
    tmp_path: Path,
    name: str,
    damage,
    caplog: pytest.LogCaptureFixture,
):
    before = generate(model, CONFIG, tmp_path / "one", "text", source=source)
    (path,) = Path(source.uri).glob(f"references/*/{name}")
    good = path.read_bytes()
    damage(path)
    after = generate(model, CONFIG, tmp_path / "two", "text", source=source)
    assert f"{name} is damaged; building it again" in caplog.text
    assert after.audit == before.audit
    assert path.read_bytes() == good
