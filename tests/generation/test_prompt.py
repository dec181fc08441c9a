import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from rnnlm import checkpoint
from rnnlm.config import Experiment, GenerationConfig, override
from rnnlm.config.corpus import COLUMNS_OF_TEXTS
from rnnlm.errors import ConstraintError, GenerationError
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import Source
from rnnlm.generation.prompt import open_texts
from rnnlm.generation.publishing import COLUMNS, TEXTS_SCHEMA
from rnnlm.generation.shard_sampling import DRAWN_SCHEMA
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ingest_text, tiny_experiment


def conditioned_experiment() -> Experiment:
    return tiny_experiment(
        corpus={"attributes": ["brand", "year"], "condition": ["brand", "year"], "render": "{text}"}
    )


def both_ways() -> Experiment:
    return tiny_experiment(corpus={"render": "color-both", "form": "color"})


@pytest.mark.parametrize(
    ("given", "before"),
    [({}, ""), ({"brand": "behr  &\tco"}, "behr & co\t"), ({"brand": "b", "year": "7"}, "b\t7\t")],
)
def test_given_leading_attributes_begin_the_texts(given: dict[str, str], before: str):
    opening = open_texts(conditioned_experiment(), GenerationConfig(given=given))
    assert opening.before([""]) == [before]


@pytest.mark.parametrize(
    ("given", "before"),
    [({"brand": "b", "year": "7"}, "b\t7\t"), ({"brand": "", "year": ""}, "\t\t")],
)
def test_a_prefix_follows_the_whole_header(given: dict[str, str], before: str):
    opening = open_texts(conditioned_experiment(), GenerationConfig(given=given))
    assert opening.before(["x", ""]) == [before + "x", before]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "attribute 'brand'.* add --given brand=… --given year=…, or"),
        ({"brand": "b"}, "attribute 'year'.* add --given year=…, or"),
    ],
)
def test_a_prefix_without_all_attributes_is_refused_before_anything_is_written(
    given: dict[str, str], message: str, tmp_path: Path
):
    model = saved(tmp_path / "m", conditioned_experiment(), "ab\t7")
    config = GenerationConfig(count=5, max_length=9, given=given)
    (tmp_path / "lines.txt").write_text("a\nb\n")
    for changes, prefixes in (({"prefix": "a"}, None), ({}, tmp_path / "lines.txt")):
        with pytest.raises(GenerationError, match=message):
            generate(model, override(config, changes), tmp_path / "out", "text", prefixes=prefixes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": "b"}, r"the attribute 'colour' \(expected brand, year\)"),
        ({"year": "7"}, "give 'brand' too"),
        ({"color": "#b39a7c"}, "colors-both"),
    ],
)
def test_attributes_that_cannot_be_given_are_refused(given: dict[str, str], message: str):
    with pytest.raises(GenerationError, match=message):
        open_texts(conditioned_experiment(), GenerationConfig(given=given))
    with pytest.raises(GenerationError, match="expected none; see"):
        open_texts(tiny_experiment(), GenerationConfig(given={"brand": "b"}))


def test_a_colour_is_given_as_its_code():
    opening = open_texts(both_ways(), GenerationConfig(given={"color": "#B39A7C"}, grammar="color"))
    assert opening.before([""]) == ["#b39a7c "]
    for wrong in ("b39a7c", "#b39a7", "tan"):
        with pytest.raises(GenerationError, match="expected a colour such as #b39a7c"):
            open_texts(both_ways(), GenerationConfig(given={"color": wrong}))


def test_a_misspelt_grammar_name_is_refused():
    with pytest.raises(GenerationError, match=r"no grammar 'colour' \(there are: color, color-hsv"):
        open_texts(tiny_experiment(), GenerationConfig(grammar="colour"))
    assert open_texts(tiny_experiment(), GenerationConfig(grammar="(colour)")).grammar == "(colour)"


def saved(path: Path, experiment: Experiment, letters: str) -> Path:
    torch.manual_seed(2)
    tokenizer = CharacterTokenizer(letters)
    model = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(path, model, tokenizer, experiment, {})
    return path


def test_a_grammar_applies_to_the_text_after_the_header():
    grammar = open_texts(conditioned_experiment(), GenerationConfig(grammar="^a|b$")).grammar
    assert [bool(re.fullmatch(grammar, f"behr\t7\t{text}")) for text in ("a", "b", "ab")] == [
        True, True, False
    ]  # fmt: skip
    with pytest.raises(ConstraintError, match="not a regular expression"):
        open_texts(conditioned_experiment(), GenerationConfig(grammar="a)|(?:b"))


def test_attributes_are_columns_and_not_part_of_the_text(tmp_path: Path):
    model = saved(tmp_path / "m", conditioned_experiment(), "ab\t7")
    config = GenerationConfig(
        count=40, max_length=30, temperature=1.0, given={"brand": "ab"}, grammar="[ab]{3}"
    )
    generate(model, config, tmp_path / "out", "text")
    rows = pq.read_table(tmp_path / "out" / "data" / "train-00000.parquet").to_pylist()
    assert {row["brand"] for row in rows} == {"ab"}
    assert all({*row["year"]} <= {*"ab7"} for row in rows)
    assert all(len(row["text"]) == 3 and {*row["text"]} <= {*"ab"} for row in rows)
    assert {*rows[0]} == {
        "id", "text", "tokens", "log_prob_nats", "prefix", "seed", "brand", "year"
    }  # fmt: skip


def test_reserved_attribute_names_are_those_of_the_columns():
    assert {*COLUMNS_OF_TEXTS} == {*COLUMNS, *DRAWN_SCHEMA.names, *TEXTS_SCHEMA.names}


def test_a_value_that_no_training_text_has_is_refused(tmp_path: Path):
    records = [
        {"text": f"text {n}", "brand": "ab" if n % 2 else "7", "year": "b"} for n in range(99)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = ingest_text(
        tmp_path / "t.jsonl", tmp_path / "corpus", reader="jsonl", attributes=["brand", "year"]
    )
    source = Source(uri=corpus.uri, digest=corpus.digest)
    model = saved(tmp_path / "m", conditioned_experiment(), "ab\t7")
    config = GenerationConfig(count=5, max_length=9, given={"brand": "acme"})
    with pytest.raises(GenerationError, match=r"brand = 'acme' \(known values: 7, ab\)"):
        generate(model, config, tmp_path / "out", "text", source=source)
    known = config.model_copy(update={"given": {"brand": "ab"}})
    assert generate(model, known, tmp_path / "out", "text", source=source).count == 5


def test_texts_for_a_given_colour_are_names_for_it(tmp_path: Path):
    model = saved(tmp_path / "m", both_ways(), "#0123456789abcdef xyz")
    config = GenerationConfig(count=30, max_length=20, given={"color": "#b39a7c"})
    data_set = generate(model, config, tmp_path / "out", "color")
    assert data_set.valid_share == 1.0
    for text in pq.read_table(tmp_path / "out" / "data" / "train-00000.parquet")[
        "text"
    ].to_pylist():
        assert text.startswith("#b39a7c ")
        assert len(text) > 8
