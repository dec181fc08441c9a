import json
from pathlib import Path

import matplotlib.image
import pyarrow.parquet as pq
import pytest

from rnnlm import checkpoint
from rnnlm.config import GenerationConfig, override
from rnnlm.errors import GenerationError
from rnnlm.generation.forms import Color
from rnnlm.generation.gallery import draw
from rnnlm.generation.job import MANIFEST_FILE, TEXTS_SCHEMA, TextDataSet, generate
from rnnlm.models import build
from rnnlm.progress import Progress
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

CONFIG = GenerationConfig(count=25, max_length=12, batch_size=4, shard_size=10, temperature=1.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc 123")
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, build(experiment.model, tokenizer.vocab_size), tokenizer, experiment, {})
    return path


def run(model: Path, out: Path, **changes) -> TextDataSet:
    return generate(model, override(CONFIG, changes), out, "text")


def test_shards_hold_every_text_once_in_order(model: Path, tmp_path: Path):
    data_set = run(model, tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("texts-*.parquet"))
    tables = [pq.read_table(shard) for shard in shards]
    assert [len(table) for table in tables] == [10, 10, 5]
    assert tables[0].schema.equals(TEXTS_SCHEMA)
    ids = [number for table in tables for number in table.column("id").to_pylist()]
    assert ids == [*range(25)]
    manifest = json.loads((tmp_path / "out" / MANIFEST_FILE).read_text())
    assert TextDataSet.model_validate(manifest["data_set"]) == data_set
    assert manifest["job"]["generation"]["count"] == 25


class Stop(Exception):
    """What the test raises from `on_progress`."""


def test_an_interrupted_job_ends_with_the_same_bytes(model: Path, tmp_path: Path):
    whole = run(model, tmp_path / "whole")
    for stop in (3, 14, 22):

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.done == stop:
                raise Stop

        with pytest.raises(Stop):
            generate(model, CONFIG, tmp_path / "parts", "text", on_progress=interrupt)
        assert not (tmp_path / "parts" / MANIFEST_FILE).exists()
    parts = run(model, tmp_path / "parts")
    assert parts.digest == whole.digest
    for shard in sorted((tmp_path / "whole").glob("texts-*")):
        assert (tmp_path / "parts" / shard.name).read_bytes() == shard.read_bytes()


def test_a_finished_job_is_not_run_again(model: Path, tmp_path: Path):
    first = run(model, tmp_path / "out")
    told: list[Progress] = []
    again = generate(model, CONFIG, tmp_path / "out", "text", on_progress=told.append)
    assert again == first
    assert not told


def test_a_damaged_shard_is_made_again(model: Path, tmp_path: Path):
    first = run(model, tmp_path / "out")
    shard = tmp_path / "out" / "texts-00001.parquet"
    good = shard.read_bytes()
    shard.write_bytes(b"torn")
    assert run(model, tmp_path / "out").digest == first.digest
    assert shard.read_bytes() == good


def test_another_job_is_refused_the_folder(model: Path, tmp_path: Path):
    run(model, tmp_path / "out")
    with pytest.raises(GenerationError, match="another job"):
        run(model, tmp_path / "out", seed=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(GenerationError, match="other files"):
        run(model, tmp_path / "other")
    assert [*(tmp_path / "other").iterdir()] == [tmp_path / "other" / "thesis.txt"]


def test_jsonl_and_txt_hold_the_same_texts(model: Path, tmp_path: Path):
    run(model, tmp_path / "parquet")
    run(model, tmp_path / "jsonl", format="jsonl")
    run(model, tmp_path / "txt", format="txt")
    shard = pq.read_table(tmp_path / "parquet" / "texts-00000.parquet").to_pylist()
    lines = (tmp_path / "jsonl" / "texts-00000.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == shard
    plain = (tmp_path / "txt" / "texts-00000.txt").read_text()
    assert plain == "".join(row["text"] + "\n" for row in shard)


def test_a_gallery_is_a_picture_with_the_colours_in_it(tmp_path: Path):
    draw(
        [Color("pure $red$ & \\{", 255, 0, 0), Color("x" * 60, 0, 0, 255)],
        "two",
        tmp_path / "g.png",
    )
    pixels = (matplotlib.image.imread(tmp_path / "g.png")[..., :3] * 255).round()
    found = {tuple(pixel) for row in pixels.astype(int).tolist() for pixel in map(tuple, row)}
    assert {(255, 0, 0), (0, 0, 255)} <= found
