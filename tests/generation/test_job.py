import json
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from rnnlm import checkpoint
from rnnlm.audit.card import CARD_FILE, UNESCAPE
from rnnlm.audit.summary import audit_shard
from rnnlm.checksums import read_record
from rnnlm.config import GenerationConfig, override
from rnnlm.corpora import duplicates
from rnnlm.errors import CheckpointError, GenerationError, TokenizerError
from rnnlm.generation.job import generate
from rnnlm.generation.job_folder import JOB_FILE, MANIFEST_FILE, WORK
from rnnlm.generation.manifest import Source, TextDataSet
from rnnlm.generation.publishing import TEXTS_SCHEMA
from rnnlm.generation.shard_sampling import DRAWN_SCHEMA
from rnnlm.models import build
from rnnlm.progress import Progress
from rnnlm.storage import file_digest, value_digest, write_json
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment
from tests.generation.jobs import CONFIG, Stop, contents, run, saved_model, table


def test_shards_hold_every_text_once_in_order(model: Path, tmp_path: Path):
    data_set = run(model, tmp_path / "out")
    shards = sorted((tmp_path / "out" / "data").glob("train-*.parquet"))
    tables = [pq.read_table(shard) for shard in shards]
    assert [len(table) for table in tables] == [10, 10, 5]
    assert tables[0].schema.equals(TEXTS_SCHEMA)
    assert [row["id"] for row in table(tmp_path / "out")] == [*range(25)]
    manifest = json.loads((tmp_path / "out" / MANIFEST_FILE).read_text())
    assert TextDataSet.model_validate(manifest["data_set"]) == data_set
    assert manifest["job"]["generation"]["count"] == 25
    assert (manifest["precision"], manifest["job"]["generation"]["precision"]) == ("int8", "int8")
    assert not (tmp_path / "out" / WORK).exists()


def test_unique_keeps_the_lowest_number_and_draws_replacements(model: Path, tmp_path: Path):
    everything = run(model, tmp_path / "all", count=400, max_length=3)
    unique = run(model, tmp_path / "unique", count=120, max_length=3, unique=True)
    rows, seen = [], set()
    for row in table(tmp_path / "all"):
        if row["text"] not in seen:
            seen.add(row["text"])
            rows.append(row)
    assert table(tmp_path / "unique") == rows[:120]
    assert everything.audit.duplicate_share == pytest.approx(1 - len(rows) / 400)
    assert unique.audit.duplicate_share == 0.0
    assert unique.drawn > 120


def test_novel_only_refuses_copies_of_the_training_text(
    model: Path, source: Source, tmp_path: Path
):
    config = override(CONFIG, {"count": 300, "max_length": 4})
    copied = generate(model, config, tmp_path / "any", "text", source=source)
    assert copied.copied_share and copied.copied_share > 0
    novel = generate(
        model, override(config, {"novel_only": True}), tmp_path / "novel", "text", source=source
    )
    assert novel.copied_share == 0.0
    kept = {row["id"]: row["text"] for row in table(tmp_path / "novel")}
    drawn = {row["id"]: row["text"] for row in table(tmp_path / "any")}
    assert {n: drawn[n] for n in kept if n in drawn} == {
        n: t for n, t in kept.items() if n in drawn
    }


def test_novel_only_needs_the_training_text(model: Path, tmp_path: Path):
    with pytest.raises(GenerationError, match="training text"):
        run(model, tmp_path / "out", novel_only=True)
    assert not (tmp_path / "out").exists()


def test_a_rule_that_refuses_nearly_everything_ends_the_job(model: Path, tmp_path: Path):
    with pytest.raises(GenerationError, match="raise the temperature"):
        run(model, tmp_path / "out", temperature=0.0, unique=True, count=200, shard_size=200)


def left_as_drawn(
    model: Path,
    config: GenerationConfig,
    out: Path,
    accepted: NDArray[np.bool_],
    hashes: NDArray[np.uint64],
) -> str:
    """Fake a job that was interrupted after it had drawn whole shards; return the job's digest.

    Args:
        model: The checkpoint.
        config: The job's settings.
        out: Folder of the job.
        accepted: Whether each drawn text is accepted.
        hashes: Hash of each drawn text, for the search for repetitions.
    """

    def stop(progress: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        generate(model, config, out, "text", on_progress=stop)
    job = value_digest(read_record(out / JOB_FILE))
    size = min(config.shard_size, max(config.count, 1000))
    same = [pa.repeat(value, size) for value in (pa.scalar("a", pa.large_string()), 2, -1.0, True)]
    folder = out / WORK / "drawn"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(len(accepted) // size):
        part = slice(number * size, (number + 1) * size)
        columns = [np.arange(part.start, part.stop), *same, hashes[part], accepted[part]]
        path = folder / f"{number:06d}.parquet"
        pq.write_table(pa.table(columns, schema=DRAWN_SCHEMA), path)
        record = {"job": job, "sha256": file_digest(path), "count": size}
        write_json(path.with_suffix(".json"), record)
    return job


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_run_of_refused_texts_near_the_end_does_not_end_a_job(
    model: Path, tmp_path: Path, goes_on: bool
):
    accepted = np.arange(400_000) % 500 == 0
    accepted[46_000:56_000] = False
    accepted[56_000:] &= goes_on
    config = override(CONFIG, {"count": 100, "shard_size": 1000, "required": ["a"]})
    left_as_drawn(model, config, tmp_path / "out", accepted, np.zeros(400_000, np.uint64))
    if goes_on:
        generate(model, config, tmp_path / "out", "text")
        expected = np.flatnonzero(accepted)[:100].tolist()
        assert [row["id"] for row in table(tmp_path / "out")] == expected
    else:
        with pytest.raises(GenerationError, match="92 of 100 kept so far"):
            generate(model, config, tmp_path / "out", "text")


@pytest.mark.slow
def test_deciding_and_publishing_take_two_bytes_per_text(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(model, tmp_path / "small")  # so that everything is imported
    drawn, shards, size = 2_100_000, 19, 100_000
    chance = np.random.default_rng(1)
    hashes = chance.integers(1 << 26, size=drawn, dtype=np.uint64)
    accepted = chance.random(drawn) < 0.95
    changes = {"count": shards * size + 10, "shard_size": size, "unique": True, "max_length": 1000}
    config, out = override(CONFIG, changes), tmp_path / "out"
    job = left_as_drawn(model, config, out, accepted, hashes)
    audit = audit_shard(["a"], np.ones(1, np.bool_), "text", None, 1).model_dump(mode="json")
    for number in range(shards):
        path = out / "data" / f"train-{number:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"written before")
        record = {"job": job, "reference": None, "file": path.name, "sha256": file_digest(path)}
        record |= {"count": size, "characters": size, "tokens": size, "escaped": 0, "audit": audit}
        write_json(out / WORK / "published" / f"{number:05d}.json", record)

    monkeypatch.setattr(duplicates, "HASHES_AT_ONCE", 1 << 17)
    tracemalloc.start()
    try:
        data_set = generate(model, config, out, "text")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    places = np.flatnonzero(accepted)
    _, firsts = np.unique(hashes[places], return_index=True)
    kept = places[np.sort(firsts)][: config.count]
    last = pq.read_table(out / "data" / f"train-{shards:05d}.parquet")["id"].to_pylist()
    assert last == kept[-10:].tolist()
    assert data_set.drawn == kept[-1] + 1
    assert peak < 2 * drawn + 80 * duplicates.HASHES_AT_ONCE


def test_prefixes_of_a_file_are_continued_in_turn(model: Path, tmp_path: Path):
    (tmp_path / "prefixes.txt").write_text("ab\n\nc 1\n")
    generate(model, CONFIG, tmp_path / "out", "text", prefixes=tmp_path / "prefixes.txt")
    for row in table(tmp_path / "out"):
        assert row["prefix"] == ("c 1" if row["id"] % 2 else "ab")
        assert row["text"].startswith(row["prefix"])


def test_a_file_of_prefixes_may_change_between_jobs_and_during_one(model: Path, tmp_path: Path):
    path = tmp_path / "prefixes.txt"
    path.write_text("aaa\n")
    generate(model, CONFIG, tmp_path / "first", "text", prefixes=path)

    def change(progress: Progress) -> None:
        path.write_text("1 2\n")

    path.write_text("bbb\n")
    generate(model, CONFIG, tmp_path / "second", "text", prefixes=path, on_progress=change)
    for row in table(tmp_path / "second"):
        assert row["text"].startswith("bbb") and row["prefix"] == "bbb"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no line"), (b"\n\n", "no line"), (b"\xff\xfe\xfa", "cannot read the prefixes")],
)
def test_a_file_without_prefixes_is_refused(
    model: Path, tmp_path: Path, content: bytes, message: str
):
    (tmp_path / "prefixes.txt").write_bytes(content)
    with pytest.raises(GenerationError, match=message):
        generate(model, CONFIG, tmp_path / "out", "text", prefixes=tmp_path / "prefixes.txt")
    assert not (tmp_path / "out").exists()


def test_a_text_that_reaches_the_maximum_length_is_not_complete(model: Path, tmp_path: Path):
    plain = run(model, tmp_path / "plain", count=200, max_length=3)
    ruled = run(model, tmp_path / "ruled", count=200, max_length=3, banned=["1111"])
    assert 0 < ruled.complete_share <= plain.complete_share < 1


def test_required_strings_are_not_forced_on_texts(model: Path, tmp_path: Path):
    free = run(model, tmp_path / "free", count=3000, max_length=30, shard_size=3000)
    held = run(model, tmp_path / "held", count=50, max_length=30, required=["ab"])
    assert free.drawn == 3000 and held.drawn > 50
    expected = [row for row in table(tmp_path / "free") if "ab" in row["text"]][:50]
    assert table(tmp_path / "held") == expected


def test_a_model_with_nan_weights_is_refused(tmp_path: Path):
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc")
    network = build(experiment.model, tokenizer.vocab_size)
    network.b_2.data[2] = torch.nan
    checkpoint.save(tmp_path / "m", network, tokenizer, experiment, {})
    with pytest.raises(CheckpointError, match="cannot generate"):
        run(tmp_path / "m", tmp_path / "out")


def test_a_prefix_outside_the_vocabulary_is_refused(model: Path, tmp_path: Path):
    (tmp_path / "prefixes.txt").write_text("ab\nxyz\n")
    with pytest.raises(TokenizerError, match="'x', 'y', 'z'"):
        generate(model, CONFIG, tmp_path / "out", "text", prefixes=tmp_path / "prefixes.txt")
    assert not (tmp_path / "out").exists()


def test_constraints_hold_for_every_text(model: Path, tmp_path: Path):
    run(model, tmp_path / "grammar", grammar="[abc]{2,4} [123]+", count=100)
    for row in table(tmp_path / "grammar"):
        name, _, number = row["text"].partition(" ")
        assert 2 <= len(name) <= 4 and {*name} <= {*"abc"} and number and {*number} <= {*"123"}
    run(model, tmp_path / "strings", banned=["a"], required=["bb"], count=100)
    for row in table(tmp_path / "strings"):
        assert "a" not in row["text"] and "bb" in row["text"]
    run(model, tmp_path / "stop", stop=["1", "23"], count=100, max_length=200)
    texts = [row["text"] for row in table(tmp_path / "stop")]
    assert not any("1" in text or "23" in text for text in texts)


def test_jsonl_and_txt_hold_the_same_texts(model: Path, tmp_path: Path):
    run(model, tmp_path / "parquet")
    run(model, tmp_path / "jsonl", format="jsonl")
    run(model, tmp_path / "txt", format="txt")
    shard = pq.read_table(tmp_path / "parquet" / "data" / "train-00000.parquet").to_pylist()
    lines = (tmp_path / "jsonl" / "data" / "train-00000.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == shard
    plain = (tmp_path / "txt" / "data" / "train-00000.txt").read_text()
    assert plain == "".join(row["text"] + "\n" for row in shard)


def test_plain_text_with_line_ends_can_be_unescaped(tmp_path: Path):
    model = saved_model(tmp_path / "model.safetensors", "abn\n\r\\\u2028")
    run(model, tmp_path / "parquet", count=200)
    run(model, tmp_path / "txt", count=200, format="txt")
    texts = [row["text"] for row in table(tmp_path / "parquet")]
    lines = b"".join(contents(tmp_path / "txt").values()).decode().split("\n")[:-1]
    assert [unescaped(line) for line in lines] == texts
    count = sum(any(end in text for end in "\n\r\\") for text in texts)
    assert f"In {count} of them a line end" in (tmp_path / "txt" / CARD_FILE).read_text()
    assert "## Lines" not in (tmp_path / "parquet" / CARD_FILE).read_text()


def unescaped(line: str) -> str:
    names = {"line": line}
    exec(UNESCAPE, names)
    return names["text"]


def test_a_hundred_million_texts_are_planned_without_listing_them(model: Path, tmp_path: Path):
    def stop(progress: Progress) -> None:
        raise Stop

    config = override(CONFIG, {"count": 100_000_000, "shard_size": 100_000})
    began = time.monotonic()
    with pytest.raises(Stop):
        generate(model, config, tmp_path / "out", "text", on_progress=stop)
    assert time.monotonic() - began < 20


def test_the_manifest_does_not_depend_on_the_executor(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manifests = []
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with ThreadPoolExecutor(2) as workers:
            generate(
                model,
                CONFIG,
                Path("out"),
                "text",
                executor=workers if name == "together" else None,
            )
        manifests.append(Path("out", MANIFEST_FILE).read_bytes())
    assert manifests[0] == manifests[1]
