import json
import os
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import ingestion, reading_pass
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.reading import MENDED
from rnnlm.corpora.splitting import SPLITS
from rnnlm.errors import CorpusError, EmptySplitError
from rnnlm.progress import Progress
from tests.conftest import lines
from tests.corpora.samples import VERSION_7

SPLIT = SplitConfig(validation=0.2, test=0.2)


def ingest(
    source: Path, out: Path, splits: SplitConfig = SPLIT, executor: Any = None, **corpus: Any
) -> Corpus:
    config = CorpusConfig.model_validate({"source": str(source), **corpus})
    files = locate(config, out.parent / "cache")
    return ingestion.ingest(files, config, splits, out, executor=executor)


def texts(corpus: Corpus) -> list[str]:
    return [text for split in SPLITS for text in iter_texts(corpus.uri, split)]


def words(seed: int, count: int) -> str:
    """Return a text of random words, the same for the same seed."""
    source = random.Random(seed)
    return " ".join("".join(source.choices("abcdefghij", k=6)) for _ in range(count))


def test_every_document_is_in_one_split_once(tmp_path: Path):
    (tmp_path / "text").write_text(lines(200))
    corpus = ingest(tmp_path / "text", tmp_path / "out")
    assert sorted(texts(corpus)) == sorted(lines(200).splitlines())
    assert sum(corpus.documents.values()) == 200
    assert sum(corpus.characters.values()) == len(lines(200)) - 200
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith("documents-")]


def test_an_added_line_does_not_change_the_split_of_others(tmp_path: Path):
    (tmp_path / "text").write_text(lines(300))
    before = ingest(tmp_path / "text", tmp_path / "before")
    (tmp_path / "text").write_text("a new first line 1 2 3\n" + lines(300))
    after = ingest(tmp_path / "text", tmp_path / "after")
    assert before.digest != after.digest
    for split in SPLITS:
        assert {*iter_texts(before.uri, split)} <= {*iter_texts(after.uri, split)}


def test_repetitions_are_dropped_and_counted_or_kept_in_one_split(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100) * 3)
    corpus = ingest(tmp_path / "text", tmp_path / "dropped")
    assert corpus.dropped == {"repeated": 200}
    assert sorted(texts(corpus)) == sorted(lines(100).splitlines())
    kept = ingest(tmp_path / "text", tmp_path / "kept", clean={"repeated": "keep"})
    sets = [{*iter_texts(kept.uri, split)} for split in SPLITS]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    table = pq.read_table(tmp_path / "kept")
    assert len({*table.column("document_id").to_pylist()}) == table.num_rows == 300


def test_no_near_copy_of_a_test_document_is_trained_on(tmp_path: Path):
    """Check that of a document and its near copies only one is kept.

    The copies have two words changed, are in upper case, or have wider spaces.
    """
    documents = [words(seed, 200) for seed in range(40)]
    edited = []
    for document in documents:
        changed = document.split(" ")
        changed[50:52] = ["entirely", "different"]
        edited += [" ".join(changed), document.upper(), "  ".join(document.split(" "))]
    with (tmp_path / "text.jsonl").open("w") as file:
        for document in edited + documents:
            file.write(json.dumps({"text": document}) + "\n")
    corpus = ingest(tmp_path / "text.jsonl", tmp_path / "out", documents="whole")
    assert corpus.dropped == {"near copy": 120}
    assert len(texts(corpus)) == 40
    different = [words(seed, 200) + " " + words(0, 100) for seed in range(1, 40)]
    (tmp_path / "other.txt").write_text("\n".join(different))
    assert not ingest(tmp_path / "other.txt", tmp_path / "other").dropped


def test_documents_that_share_an_attribute_share_a_split(tmp_path: Path):
    with (tmp_path / "colors.jsonl").open("w") as file:
        for n in range(200):
            for shade in range(3):
                file.write(
                    json.dumps({"name": f"shade {n}", "hex": f"{n:02x}{shade:02x}00"}) + "\n"
                )
    corpus = ingest(
        tmp_path / "colors.jsonl",
        tmp_path / "out",
        SplitConfig(validation=0.2, test=0.2, key="name"),
        render="color",
        attributes=["name"],
    )
    names = [{t.rsplit(" ", 3)[0] for t in iter_texts(corpus.uri, split)} for split in SPLITS]
    assert sum(map(len, names)) == 200
    assert sum(corpus.documents.values()) == 600
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert all(dict(row["attributes"])["name"] in row["text"] for row in rows)


def test_the_digest_covers_attributes_if_there_are_any(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    (tmp_path / "other").write_text(lines(100))
    kinds: list[dict[str, Any]] = [
        {},
        {"attributes": ["file"]},
        {"attributes": ["brand"], "fields": {"brand": "file"}},
    ]
    digests = [
        ingest(tmp_path / name, tmp_path / f"{name}-{number}", **kind).digest
        for number, kind in enumerate(kinds)
        for name in ("text", "other")
    ]
    assert digests[0] == digests[1]
    assert len({*digests}) == 5


def test_the_file_stem_can_be_an_attribute_of_another_name(tmp_path: Path):
    (tmp_path / "Behr").write_text(lines(50))
    ingest(tmp_path / "Behr", tmp_path / "out", attributes=["brand"], fields={"brand": "file"})
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [row["attributes"] for row in rows] == [[("brand", "Behr")]] * 50


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path):
    (tmp_path / "text").write_text(lines(3000) + "é è à\n" * 50)
    options: dict[str, Any] = {"shard_bytes": 5000, "clean": {"repeated": "keep"}}
    alone = ingest(tmp_path / "text", tmp_path / "one", **options)
    with ProcessPoolExecutor(3) as pool:
        together = ingest(tmp_path / "text", tmp_path / "three", executor=pool, **options)
    shards = [*(tmp_path / "one").iterdir()]
    assert len(shards) > 10
    for shard in shards:
        assert (tmp_path / "three" / shard.name).read_bytes() == shard.read_bytes()
    assert together.digest == alone.digest
    assert together.documents == alone.documents


def test_documents_do_not_depend_on_where_files_are_cut(tmp_path: Path):
    paragraphs = "\r\n\r\n".join(f"Paragraph {n}.\r\nSecond line é {n}." for n in range(500))
    (tmp_path / "text").write_bytes(paragraphs.encode())
    found = []
    for size in (1000, 4321, 1_000_000):
        corpus = ingest(
            tmp_path / "text", tmp_path / str(size), documents="paragraphs", shard_bytes=size
        )
        found.append(sorted(texts(corpus)))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 500


def test_a_killed_run_keeps_its_finished_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "text").write_text(lines(3000))
    config = CorpusConfig(source=str(tmp_path / "text"), shard_bytes=5000)
    files = locate(config, tmp_path)

    def stop(progress: Progress) -> None:
        if progress.done > 0.2 * progress.total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingestion.ingest(files, config, SPLIT, tmp_path / "out", stop)
    done = sorted((tmp_path / "out" / "reading").glob("*.json"))
    assert done
    read: list[str] = []
    original = reading_pass.read_documents
    monkeypatch.setattr(
        reading_pass, "read_documents", lambda p, *rest: (read.append(p), original(p, *rest))[1]
    )
    ingestion.ingest(files, config, SPLIT, tmp_path / "out")
    whole = ingestion.ingest(files, config, SPLIT, tmp_path / "again")
    again = len(whole.encodings) and len(read)
    assert 0 < again < 2 * len([*(tmp_path / "again").iterdir()])
    for shard in (tmp_path / "again").iterdir():
        assert (tmp_path / "out" / shard.name).read_bytes() == shard.read_bytes()


def test_after_a_killed_run_of_an_earlier_version_all_files_are_read_again(tmp_path: Path):
    (tmp_path / "text").write_text(lines(300))
    left = tmp_path / "out" / "reading"
    left.mkdir(parents=True)
    (left / "00000.json").write_text('{"rows": 300}')
    (left / "00000.parquet").write_bytes(b"PAR1")
    corpus = ingest(tmp_path / "text", tmp_path / "out")
    assert corpus.digest == ingest(tmp_path / "text", tmp_path / "again").digest
    assert not left.exists()


def test_a_file_that_grows_while_it_is_read_is_noticed(tmp_path: Path):
    path = tmp_path / "text"
    path.write_text(lines(300))
    config = CorpusConfig(source=str(path))
    files = locate(config, tmp_path)

    def grow(_: Progress) -> None:
        with path.open("a") as file:
            file.write("one more line\n")

    with pytest.raises(CorpusError, match="changed while it was read"):
        ingestion.ingest(files, config, SPLIT, tmp_path / "out", grow)
    assert not (tmp_path / "out" / "reading").exists()  # and no partial result is kept


@pytest.mark.parametrize(
    ("name", "content", "message", "reason"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2: no JSON", "no JSON"),
        ("a.jsonl", '{"text": "x"}\n{"body": 1}\n', r"no field `text` \(the.*body", "unusable"),
        ("a.jsonl", '{"text": "\\ud800"}\n', "half a character", "half a character"),
        ("a.csv", "text,n\nx,1\ny\n", r"a\.csv, line 3: row of another length", "row of"),
        ("a.txt", "fine\nbad\x00line\n", r"control character: U\+0000", "control character"),
        ("a.txt", "fine\n" + "x" * 2000 + "\nfine too\n", r"too long: 2,\d+ bytes", "too long"),
        ("a.mmf", VERSION_7 + VERSION_7[:-60], "broken recipe: .*breaks off", "broken recipe"),
    ],
)
def test_a_bad_record_ends_the_run_or_is_counted(
    tmp_path: Path, name: str, content: str, message: str, reason: str
):
    path = tmp_path / name
    options: dict[str, Any] = {"longest": 1000, "render": "{text}"}
    if name.endswith(".mmf"):
        options |= {"render": "recipe", "documents": "whole", "longest": 100_000}
    good = "".join(f"good line {n}\n" for n in range(100)) if name == "a.txt" else ""
    path.write_text(content + good)
    with pytest.raises(CorpusError, match=message) as caught:
        ingest(path, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert "corpus.bad_records=skip" in str(caught.value)
    more = tmp_path / "more.txt"
    more.write_text("".join(f"a line {n}\n" for n in range(100)))
    sources = [
        {"path": str(path), **{k: v for k, v in options.items() if k == "render"}},
        {"path": str(more)},
    ]
    changes = {k: v for k, v in options.items() if k != "render"} | {"documents": "lines"}
    config = CorpusConfig.model_validate({"sources": sources, "bad_records": "skip", **changes})
    corpus = ingestion.ingest(locate(config, tmp_path), config, SPLIT, tmp_path / "skipped")
    assert any(reason in name for name in corpus.dropped)


def test_a_fault_reports_its_line_in_the_file(tmp_path: Path):
    good = "".join(json.dumps({"text": f"line {n}"}) + "\n" for n in range(500))
    (tmp_path / "a.jsonl").write_text(good + "no json\n")
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 501: no JSON"):
        ingest(tmp_path / "a.jsonl", tmp_path / "out", shard_bytes=1000)


def test_a_line_of_many_megabytes_is_dropped(tmp_path: Path):
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        file.write(lines(200).encode())
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + lines(300)[-3000:].encode())
    corpus = ingest(path, tmp_path / "out", longest=100_000, bad_records="skip")
    assert corpus.dropped["too long"] == 1
    assert sum(corpus.documents.values()) > 200


def test_parquet_csv_and_text_can_be_one_corpus(tmp_path: Path):
    table = pa.table({"title": [f"t{n}" for n in range(50)], "body": [["a", "b"]] * 50})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    (tmp_path / "b.csv").write_text("title,body\n" + "".join(f"u{n},x\n" for n in range(50)))
    config = CorpusConfig.model_validate(
        {
            "sources": [
                {"path": str(tmp_path / "*.[pc]*"), "render": "{title}: {body}"},
            ],
            "documents": "whole",
            "shard_bytes": 1000,
        }
    )
    corpus = ingestion.ingest(locate(config, tmp_path), config, SPLIT, tmp_path / "out")
    found = texts(corpus)
    assert len(found) == 100
    assert "t3: a\nb" in found
    assert "u49: x" in found


def test_a_long_csv_is_cut_only_at_line_ends_outside_quotes(tmp_path: Path):
    for quote in ("", '"'):
        path = tmp_path / f"q{len(quote)}.csv"
        rows = "".join(f"{n},{quote}text {n}{quote}\n" for n in range(500))
        path.write_text("n,text\n" + rows)
        corpus = ingest(path, tmp_path / f"out{len(quote)}", shard_bytes=1000)
        assert sorted(texts(corpus)) == sorted(f"text {n}" for n in range(500))


def test_an_empty_split_is_an_error(tmp_path: Path):
    (tmp_path / "text").write_text("one line\nanother line\n")
    with pytest.raises(EmptySplitError, match="2 documents in all"):
        ingest(tmp_path / "text", tmp_path / "out")


def test_the_error_for_no_documents_says_what_was_dropped(tmp_path: Path):
    (tmp_path / "text").write_text("a\nb\n")
    with pytest.raises(CorpusError, match=r"no document is left .2 too short"):
        ingest(tmp_path / "text", tmp_path / "out", clean={"shortest": 5})


def test_published_splits_are_cut_by_position_shuffle_and_source(tmp_path: Path):
    (tmp_path / "text").write_text("".join(chr(97 + n % 26) for n in range(1000)))
    by_position = ingest(
        tmp_path / "text",
        tmp_path / "position",
        SplitConfig(by="position", validation=0.05, test=0.05),
        documents="whole",
    )
    assert [*by_position.characters.values()] == [900, 50, 50]
    assert "".join(texts(by_position)) == (tmp_path / "text").read_text()
    (tmp_path / "names").write_text("".join(f"name {n}\n" for n in range(100)))
    shuffle = SplitConfig(by="shuffle", seed=42, validation=0.1, test=0.1)
    shuffled = ingest(tmp_path / "names", tmp_path / "shuffled", shuffle)
    order = list(range(100))
    random.Random(42).shuffle(order)
    expected = {f"name {n}" for n in order[:80]}
    assert {*iter_texts(shuffled.uri, "train")} == expected
    for split in SPLITS:
        (tmp_path / f"{split}.txt").write_text(f"only in {split}\n")
    config = CorpusConfig.model_validate(
        {"sources": [{"path": str(tmp_path / f"{s}.txt"), "split": s} for s in SPLITS]}
    )
    files = locate(config, tmp_path)
    by_source = ingestion.ingest(files, config, SplitConfig(by="source"), tmp_path / "source")
    assert texts(by_source) == [f"only in {split}" for split in SPLITS]


def test_unreadable_files_are_one_clear_error(tmp_path: Path):
    path = tmp_path / "gone.txt"
    path.write_text(lines(10))
    config = CorpusConfig(source=str(path))
    files = locate(config, tmp_path)
    os.remove(path)  # noqa: PTH107
    with pytest.raises(CorpusError, match=r"cannot read .*No such file"):
        ingestion.ingest(files, config, SPLIT, tmp_path / "out")


def test_a_run_killed_while_writing_keeps_its_written_shards(tmp_path: Path):
    (tmp_path / "text").write_text(lines(800))
    config = CorpusConfig(source=str(tmp_path / "text"), shard_bytes=1000)
    files = locate(config, tmp_path)

    def stop(progress: Progress) -> None:
        if progress.done > 0.8 * progress.total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingestion.ingest(files, config, SPLIT, tmp_path / "out", stop)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("documents-*")}
    resumed = ingestion.ingest(files, config, SPLIT, tmp_path / "out")
    whole = ingestion.ingest(files, config, SPLIT, tmp_path / "again")
    assert kept
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert resumed.model_dump(exclude={"uri"}) == whole.model_dump(exclude={"uri"})


def test_the_first_dropped_records_are_kept_as_examples(tmp_path: Path):
    good = [json.dumps({"text": f"text number {number}"}) for number in range(200)]
    good[10:10] = ["{broken", "[", "}", "also broken"]
    (tmp_path / "x.jsonl").write_text("\n".join(good))
    corpus = ingest(tmp_path / "x.jsonl", tmp_path / "out", bad_records="skip")
    assert corpus.dropped["no JSON"] == 4
    shown = corpus.examples["no JSON"]
    assert [text.partition(": ")[0].rpartition(" ")[2] for text in shown] == ["11", "12", "13"]


def test_bytes_that_are_not_utf_8_are_reported_by_line(tmp_path: Path):
    rows = [f"café number {number}".encode() for number in range(300)]
    rows[20] = b"caf\xe9 number 20"
    (tmp_path / "x.txt").write_bytes(b"\n".join(rows))
    corpus = ingest(tmp_path / "x.txt", tmp_path / "out")
    assert corpus.cleaned[MENDED] == 1
    assert corpus.examples[MENDED][0].endswith("x.txt, line 21")
    assert "café number 20" in texts(corpus)


@pytest.mark.parametrize(("separator", "between"), [("", "\n\n"), ("^%$", "\n%\n"), ("<é>", "<é>")])
def test_records_do_not_depend_on_where_files_are_cut(tmp_path: Path, separator: str, between: str):
    records = [f"Record {n}.\nIts second line é {n}." for n in range(500)]
    (tmp_path / "text").write_text(between.join(records))
    for size in (1000, 4321, 1_000_000):
        corpus = ingest(
            tmp_path / "text",
            tmp_path / str(size),
            documents="records",
            separator=separator,
            shard_bytes=size,
        )
        assert sorted(texts(corpus)) == sorted(records)
