"""Test that generated files of many kinds are read as a careful person would read them."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rnnlm.autoconfig import advise
from rnnlm.config import CorpusConfig
from rnnlm.corpora import preview
from rnnlm.corpora.textual import recognize_layout
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.errors import ConfigError, CorpusError
from tests.corpora import kinds
from tests.corpora.kinds import Made

MEMBERS = 12


def read(folder: Path, made: Made, **corpus: object) -> list[str]:
    path = folder / made.name
    path.write_text(made.content)
    config = CorpusConfig.model_validate({"source": str(path), "documents": "auto", **corpus})
    return [*preview.documents(config, folder / "cache")]


@pytest.mark.parametrize("make", kinds.RECORDS, ids=lambda make: make.__name__)
def test_each_record_is_a_document(tmp_path: Path, make: Callable[[random.Random], Made]):
    for seed in range(MEMBERS):
        made = make(random.Random(seed))
        assert read(tmp_path, made) == made.documents, f"seed {seed}: {made.content[:300]}"


def test_wrapped_prose_becomes_paragraphs(tmp_path: Path):
    for seed in range(MEMBERS):
        made = kinds.prose(random.Random(seed))
        text, _ = unwrap(made.content)
        paragraphs = [line.strip() for line in text.split("\n") if line.strip()]
        same = len({*paragraphs} & {*made.documents})
        assert same > 0.9 * len(made.documents), f"seed {seed}"


def test_lines_of_even_length_are_not_taken_for_wrapped_prose():
    chance = random.Random(0)
    for _ in range(MEMBERS):
        lines = [" ".join(chance.choices(kinds.WORDS, k=9)) for _ in range(300)]
        assert recognize_layout("\n".join(lines)).documents == "lines"


def test_scene_breaks_and_underlined_headings_do_not_separate_records():
    chance = random.Random(0)
    scenes = "\n\n* * *\n\n".join(kinds.prose(chance).content for _ in range(12))
    assert recognize_layout(scenes).documents == "passages"
    headed = "\n".join(
        f"Chapter {n:02d}\n----------\n\n{kinds.sentence(chance)}.\n" for n in range(9)
    )
    assert recognize_layout(headed).documents == "passages"


def test_a_script_of_code_is_not_an_archive(tmp_path: Path):
    code = "const words = ['a'];\nfunction show() {\n  return words;\n}\n" * 30
    assert "function show() {" in "\n".join(read(tmp_path, Made("app.js", code, [])))


def test_a_field_named_text_is_the_text(tmp_path: Path):
    rows = '{"text": "a note", "name": "Rose", "hex": "#ff0011"}\n' * 30
    assert {*read(tmp_path, Made("x.jsonl", rows, []))} == {"a note"}


def test_lists_next_to_prose_keep_their_lines(tmp_path: Path):
    folder = tmp_path / "both"
    folder.mkdir()
    made = kinds.prose(random.Random(1))
    (folder / made.name).write_text(made.content)
    names = [
        f"{word} of the long and quiet valley beyond the hills, {word}" for word in kinds.WORDS
    ]
    (folder / "names.txt").write_text("\n".join(names * 2))
    advice = advise(str(folder), tmp_path, ("training.base=none",))
    texts = [*preview.documents(advice.experiment.corpus, tmp_path)]
    assert {*names} <= {*texts}
    assert sum(paragraph in "\n".join(texts) for paragraph in made.documents) > 100


def test_settings_override_recognition(tmp_path: Path):
    made = kinds.european(random.Random(0))
    titles = read(tmp_path, made, render="{preis}", documents="whole")
    assert len(titles) == 70
    assert all("," in title for title in titles)
    dashed = Made("x.txt", "a\n//\nb\n//\nc\n", [])
    assert read(tmp_path, dashed, documents="records", separator="^//$") == ["a", "b", "c"]
    assert read(tmp_path, dashed, documents="auto", separator="^//$") == ["a", "b", "c"]
    rows = Made("x.csv", "one,two\nthree,four\n", [])
    kept = read(tmp_path, rows, header="no", render="{column2}", documents="whole")
    assert kept == ["two", "four"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"render": "{title"}, "a template such as .*expected '}'"),
        ({"render": "{}"}, "names a field"),
        ({"separator": "("}, "a regular expression"),
        ({"separator": "^%$", "documents": "lines"}, "only for corpus.documents = 'records'"),
    ],
)
def test_an_invalid_template_or_pattern_is_a_one_line_error(settings: dict[str, str], message: str):
    from rnnlm.config import from_values

    with pytest.raises(ConfigError, match=message) as caught:
        from_values({"name": "x", "corpus": {"source": "x", **settings}}, (), origin="x")
    assert "\n" not in str(caught.value)


def test_the_error_for_records_without_text_shows_their_paths(tmp_path: Path):
    made = Made("x.jsonl", '{"a": {"b": "x"}, "c": ["y"]}\n' * 30, [])
    with pytest.raises(CorpusError, match=r"\{a\.b\}, \{c\[\]\}.*corpus\.render='\{a\.b\}'"):
        read(tmp_path, made)
