"""Texts and tables from strangers are read in linear time, or refused in one line."""

import io
import json
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm import config
from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.config.corpus import CleaningConfig
from rnnlm.corpora import columns, formats, rendering
from rnnlm.corpora.byte_ranges import cut_files
from rnnlm.corpora.cleaning import clean
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import Encoding, detect, detect_bytes
from rnnlm.corpora.fields import propose_text
from rnnlm.corpora.files import locate
from rnnlm.corpora.front_matter import split_front_matter
from rnnlm.corpora.palettes import recognize_colors
from rnnlm.corpora.reading import Counts, read_documents
from rnnlm.corpora.recognition import recognize
from rnnlm.corpora.records import MOST_LEVELS, Fault
from rnnlm.corpora.unpacking import unpack
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.errors import ConfigError, CorpusError

SIZE = 100_000


def documents(path: Path, **corpus: object) -> tuple[list[str], Counts]:
    config = CorpusConfig.model_validate({"source": str(path), "bad_records": "skip", **corpus})
    counts, found = Counts(), []
    files = unpack(locate(config, path.parent), path.parent / "scratch")
    for shard in cut_files(files, config, whole=False):
        for piece in shard:
            found += [d.text for d in read_documents(piece, config, SplitConfig(), counts)]
    return found, counts


@pytest.mark.parametrize(
    "text",
    [
        "a" * SIZE,
        "=" * SIZE,
        " " * SIZE + "\f",
        "(Laughter" * (SIZE // 9),
        "[Illustration" * (SIZE // 13),
        "x" + " " * SIZE + "#",
        "- " * SIZE + "x",
        "a\u0301\u0316" + "\u0301\u0316" * SIZE,
    ],
    ids=["letters", "equals", "blanks", "laughter", "notes", "colour", "rule", "marks"],
)
def test_long_runs_take_linear_time(text: str, tmp_path: Path):
    began = time.process_time()
    path = tmp_path / "a.txt"
    path.write_text(text + "\n" + "some other line\n" * 5)
    (source,) = CorpusConfig(source=str(path)).all_sources
    recognize(path, path.name, source)
    unwrap(text)
    decode(text.encode(), Encoding("utf-8"), "a")
    rules = ("gutenberg", "contents", "notes", "rules", "transcript")
    clean(text, CleaningConfig(boilerplate=rules), Counter())
    propose_text([{"text": text, "other": " " * SIZE + "x"}] * 5)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("part", ["<ref", "[[", "![", "{{", "[](", " ", "''", "1 "])
def test_a_long_line_of_a_recipe_takes_linear_time(part: str):
    began = time.process_time()
    rendering.ingredient(part * (SIZE // len(part)))
    formats.color_line(part * (SIZE // len(part)))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("line", ["-" * 20_000 + "x", "-----x" + " -" * 10_000 + "x"])
def test_a_long_line_of_an_export_takes_linear_time(line: str):
    began = time.process_time()
    export = f"MMMMM----- Recipe via Meal-Master (tm) v8\n{line}\nTitle: x\n\n{line}\nMMMMM\n"
    assert [*formats.meal_master(export), *formats.meal_master(line)]
    assert time.process_time() - began < 2


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "front",
    [
        BOMB + "tags: *a11",
        "tags: " + "[" * 5000,
        "- a\n- b",
        "title: !!python/object:os.system x\n? [a]\n: b",
        "x: " + "y" * 100_000,
        "a: \t b: {",
    ],
    ids=["aliases", "nesting", "list", "object", "length", "broken"],
)
def test_hostile_front_matter_is_a_fault(front: str):
    began = time.process_time()
    records = [*formats.markdown_recipe(f"---\n{front}\n---\n# Cake\n")]
    assert [type(record) for record in records] == [Fault]
    assert time.process_time() - began < 2


@pytest.mark.parametrize("value", ["1" * 5000, "2020-13-45", "0x" + "f" * 6000, "12:30:45", "~"])
def test_odd_scalars_in_front_matter_are_strings(value: str):
    front, body = split_front_matter(f"---\ntitle: {value}\ntags: {value}\n---\nbody")
    assert (front, body) == ({"title": value, "tags": value}, "body")
    assert [*formats.markdown_recipe(f"---\ntitle: {value}\ntags: 5\n---\n# Cake\n")]


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000,
        "[" * 1500 + "]" * 1500,
        '{"a":' * 1500 + "1" + "}" * 1500,
        '{"text": ' + "[" * 500 + "]" * 500 + "}",
    ],
    ids=["digits", "lists", "objects", "500 levels"],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_huge_numbers_and_deep_nesting_are_faults(value: str, suffix: str, tmp_path: Path):
    lines = [json.dumps({"text": f"this is line {n}"}) for n in range(20)]
    path = tmp_path / f"a.{suffix}"
    path.write_text(
        "\n".join([*lines, value]) if suffix == "jsonl" else f"[{','.join(lines)},{value}]"
    )
    found, counts = documents(path, documents="whole")
    assert sum(counts.dropped.values()) == 1
    is_parsed = suffix == "jsonl" or value.startswith('{"text"')  # else the whole file is refused
    assert len(found) == (20 if is_parsed else 0)
    with pytest.raises(CorpusError) as caught:
        documents(path, documents="whole", bad_records="error")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_huge_number_is_not_a_colour_channel():
    assert recognize_colors([{"name": "red", "rgb": ["9" * 5000, 1, 2]}] * 6) is None
    assert recognize_colors([{"name": "red", "r": "9" * 5000, "g": 1, "b": 2}] * 6) is None


def test_a_record_may_be_nested_a_hundred_levels_deep():
    (record,) = formats.json_lines('{"a":' * MOST_LEVELS + "1" + "}" * MOST_LEVELS)
    assert not isinstance(record, Fault)


@pytest.mark.parametrize("nested", ["x = " + "[" * 5000, "x = " + "{a = " * 5000])
def test_toml_that_is_nested_too_deeply_is_refused(nested: str, tmp_path: Path):
    (tmp_path / "a.toml").write_text(nested)
    with pytest.raises(ConfigError, match="nested too deeply"):
        config.load(tmp_path / "a.toml")
    values = {"name": "x", "corpus": {"source": "x"}}
    with pytest.raises(ConfigError):
        config.from_values(values, [nested.replace("x = ", "model.hidden_size=")], origin="x")


@pytest.mark.parametrize(
    "name",
    [
        "base64",
        "zip",
        "bz2",
        "hex",
        "rot13",
        "uu",
        "quopri",
        "undefined",
        "idna",
        "utf-8\0",
        "é",
        "",
    ],
)
def test_a_codec_that_is_not_for_text_files_is_refused(name: str, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"aGVsbG8=\n" * 10)
    with pytest.raises(CorpusError, match="not an encoding of text"):
        detect(tmp_path / "a.txt", name)
    assert detect(tmp_path / "a.txt", "utf-16").codec == "utf-16"


def test_utf_16_that_is_cut_in_the_middle_of_a_character_is_refused():
    with pytest.raises(CorpusError, match="is not text"):
        detect_bytes(b'\x00\x00\x00\x80{"title": "one", "tags": ["a", 1]}\n"only a text"\n')


def test_a_nul_in_the_text_or_the_path_is_refused(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\u0000b"}\n' * 3)
    with pytest.raises(CorpusError, match=r"control character: U\+0000"):
        documents(path, bad_records="error")
    with pytest.raises(CorpusError, match="cannot read"):
        locate(CorpusConfig(source="a\0b"), tmp_path)


def test_a_file_name_that_is_not_utf_8_is_refused(tmp_path: Path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a\udc80.txt").write_text("some text")
    with pytest.raises(CorpusError, match="is not UTF-8; rename the file"):
        locate(CorpusConfig(source=str(tmp_path / "texts")), tmp_path)


def parquet(path: Path, arrays: list[pa.Array], names: list[str]) -> Path:
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    return path


def test_odd_names_of_parquet_columns_are_read(tmp_path: Path):
    words = pa.array([f"these are words {n}" for n in range(30)])
    for name in ("", "a.b", "a[0]", "\x1b[31m", "né", " "):
        path = parquet(tmp_path / "a.parquet", [words], [name])
        assert next(columns.read_rows(path, "a", 7)) == {name: "these are words 0"}
        documents(path)
    for name in ("{", "a!r:{}", "}"):
        path = parquet(tmp_path / "a.parquet", [words], [name])
        with pytest.raises(CorpusError, match="no field is clearly the text"):
            documents(path)


def test_repeated_and_too_many_parquet_columns_are_refused(tmp_path: Path):
    words = pa.array(["a", "b"])
    path = parquet(tmp_path / "a.parquet", [words, words], ["x\x1b", "x\x1b"])
    with pytest.raises(CorpusError, match=r"several columns named 'x\\x1b'"):
        documents(path)


def test_parquet_values_that_python_cannot_represent_are_refused(tmp_path: Path):
    never = pa.array([2**60], pa.int64()).cast(pa.timestamp("ms"))
    path = parquet(tmp_path / "a.parquet", [never], ["text"])
    with pytest.raises(CorpusError, match="not a complete Parquet file"):
        documents(path)
    table = pa.table({"text": ["abcdef" * 50]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    path.write_bytes(buffer.getvalue().replace(b"abcdef", b"ab\xff\xfeef"))
    with pytest.raises(CorpusError, match="not a complete Parquet file"):
        documents(path)
