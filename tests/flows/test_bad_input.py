"""Bad input to commands: one line, status 1, no traceback, and nothing half-written."""

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.chain.records import RECORD_FILE, Step
from flows.commands import naming
from flows.console import printing, tables
from flows.console.endings import fail
from flows.runtime.home import Home
from rnnlm.autoconfig import Advice
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.unpacking import UNSUSPECTED_BYTES
from tests.conftest import call_cli, tiny_experiment

HOSTILE = "\x1b[31mred\x07\x9b\u202egnp"


def write(home: Path, name: str) -> Path:
    path = home / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(HOSTILE.replace("\x07", ""), bytes(UNSUSPECTED_BYTES + 5_000_000))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(b"x" * 1000)[:-9])
    elif name.endswith(".parquet"):
        words = pa.array(["some words"] * 9)
        pq.write_table(pa.Table.from_arrays([words, words], ["a\x1b", "a\x1b"]), path)
    elif name.endswith(".toml"):
        path.write_text("x = " + "[" * 3000)
    elif name.endswith(".json"):
        path.write_text('{"a":' * 1500)
    else:
        path.write_text("aGVsbG8=\n" * 50)
    return path


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("bomb.zip", (), "200 times as many"),
        ("cut.txt.gz", (), "cut short or broken"),
        ("odd.parquet", (), "several columns named"),
        ("deep.toml", (), "nested too deeply"),
        ("deep.json", (), "no field is clearly the text|no document is left|nested too deeply"),
        ("text.txt", ("--set", "corpus.encoding=base64"), "not an encoding of text"),
        ("text.txt", ("--set", "model.hidden_size=" + "[" * 3000), "hidden_size"),
        ("text.txt", ("--set", f"{HOSTILE}=1"), "unknown key|not an assignment"),
        ("no\x1b[31m\u202ename.txt", (), "no file"),
    ],
)
def test_a_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, name: str, more: tuple[str, ...], expected: str
):
    if "\x1b" not in name:
        write(tmp_path, name)
    finished = call_cli(tmp_path, "train", name, *more)
    lines = finished.err.strip("\n").split("\n")
    assert finished.status == 1
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert any(part in lines[0] for part in expected.split("|")), lines[0]
    assert all(c.isprintable() for c in lines[0])
    assert not [
        p for p in (tmp_path / "data").rglob("*") if p.is_file() and p.name != "format.json"
    ]


def test_nothing_that_is_printed_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    console = printing.Output(highlight=False)
    console.print(f"a [/red] [bold] {HOSTILE}", style="dim")
    printing.facts([("name", HOSTILE)])
    tables.show(["file"], [[HOSTILE]])
    printing.samples([HOSTILE])
    with pytest.raises(SystemExit):
        fail(HOSTILE, 1, wants_json=False)
    seen = capsys.readouterr()
    assert "[/red] [bold]" in seen.out
    for text in (seen.out, seen.err):
        assert not {*text} & {*"\x1b\x07\x9b\u202e"}
    assert isinstance(printing.err, Console)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(result={"uri": 5}),
        lambda r: r.update(result=True),
        lambda r: r.update(files={"a": {}}),
        lambda r: r.update(files=[]),
        lambda r: r.update(files={"a" * 5000: {"size": 1, "modified": 1, "sha256": "0"}}),
        lambda r: r.update(files={"a\0": {"size": 1, "modified": 1, "sha256": "0"}}),
        lambda r: r.update(ingredients="x"),
        lambda r: r.pop("version"),
        lambda r: r.clear(),
    ],
)
def test_a_damaged_record_of_a_step_counts_as_missing(tmp_path: Path, change):
    step = Step("ingest", 4, {"corpus": {"source": "a"}}, Corpus, tmp_path / "data/corpora/tiny")
    per_split = {"train": 1, "validation": 1, "test": 1}
    result = Corpus(
        uri="x", digest="0", documents=per_split, characters=per_split, bytes=per_split,
        dropped={}, cleaned={}, encodings={},
    )  # fmt: skip
    step.folder.mkdir(parents=True)
    step.remember(result, 1.0)
    assert step.recall() == result
    path = step.folder / RECORD_FILE
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert step.recall() is None
    assert step.why()
    advice = Advice(tiny_experiment(), (), 10, 10, 10)
    assert naming.distinct(Home(tmp_path), advice, "other.txt").experiment.name
