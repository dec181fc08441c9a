import gzip
import json
from pathlib import Path

import pytest

from rnnlm.autoconfig import Advice, advise
from rnnlm.config import parse_budget
from rnnlm.errors import CorpusError
from tests.conftest import lines
from tests.corpora.samples import VERSION_7, VERSION_8

PROSE = "It was a dark and stormy night, and the wind\nhowled over the moor as it had never\n" * 3


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "My Book!.txt"
    path.write_text(text)
    return path


def look_at(path: Path, settings: tuple[str, ...] = ()) -> Advice:
    return advise(str(path), path.parent / "cache", settings)


def kind(advice: Advice) -> str:
    """Return the kind of documents that was chosen, such as `lines`."""
    return next(choice.value for choice in advice.choices if choice.setting == "documents")


def test_independent_lines_are_documents(tmp_path: Path):
    advice = look_at(write(tmp_path, lines(500)))
    assert kind(advice) == "lines"
    assert advice.experiment.training.feed == "documents"


@pytest.mark.parametrize(
    "text",
    [
        f"{PROSE}\n\n" * 100,
        PROSE * 100,
        "One endless line of prose. " * 1000,
        "A long paragraph of prose on one line, with several sentences. " * 8 + "\n",
    ],
)
def test_prose_becomes_passages(tmp_path: Path, text: str):
    advice = look_at(write(tmp_path, text))
    assert kind(advice) == "passages"
    assert advice.experiment.training.feed == "stream"


def test_larger_texts_get_less_dropout_and_fewer_readings(tmp_path: Path):
    paragraph = "".join(f"Sentence {n} of the paragraph. " for n in range(20)) + "\n\n"
    found = []
    for size in (10_000, 200_000, 10_000_000):
        text = paragraph * (size // len(paragraph))
        advice = look_at(write(tmp_path, text), ("training.base=none",))
        budget = parse_budget(advice.experiment.training.budget)
        found.append((advice.experiment.model.dropout, budget.amount / len(text)))
    dropout, readings = zip(*found, strict=True)
    assert dropout[0] > dropout[1] > dropout[2]
    assert readings[0] > readings[1] > readings[2]
    assert readings[2] == pytest.approx(1, rel=0.1)


def test_a_script_with_many_characters_is_read_as_bytes(tmp_path: Path):
    text = "".join(chr(0x4E00 + n % 3000) + ("\n" if n % 20 == 0 else "") for n in range(20_000))
    assert look_at(write(tmp_path, text)).experiment.tokenizer.kind == "byte"
    assert look_at(write(tmp_path, lines(500))).experiment.tokenizer.kind == "character"


def test_settings_of_the_corpus_affect_the_inspection(tmp_path: Path):
    path = tmp_path / "wide.txt"
    path.write_bytes(lines(500).encode("utf-16-le"))
    assert kind(look_at(path)) == "lines"
    named = look_at(path, ("corpus.encoding=utf-16-le", "corpus.documents=passages"))
    assert named.experiment.corpus.encoding == "utf-16-le"
    assert named.experiment.training.feed == "stream"


def test_one_very_long_line_among_many_does_not_take_all_memory(tmp_path: Path):
    advice = look_at(write(tmp_path, lines(2000) + "x y" * 50_000 + "\n"))
    assert kind(advice) == "lines"
    assert advice.experiment.training.feed == "stream"


def test_records_of_even_length_are_lines(tmp_path: Path):
    rows = [
        f"2026-01-{n % 28 + 1:02d},Customer {n:05d},{n * 37 % 1000:04d},EUR,paid"
        for n in range(500)
    ]
    advice = look_at(write(tmp_path, "\n".join(rows)))
    assert kind(advice) == "lines"


def test_names_that_are_not_ascii_stay_distinct(tmp_path: Path):
    names = set()
    for stem in ("война", "мир", "Krieg & Frieden"):
        (tmp_path / f"{stem}.txt").write_text(lines(200))
        names.add(look_at(tmp_path / f"{stem}.txt").experiment.name)
    assert len(names) == 3


def test_choices_have_reasons_and_are_overridden_by_settings(tmp_path: Path):
    advice = look_at(write(tmp_path, lines(500)), ("model.hidden_size=77",))
    assert advice.experiment.model.hidden_size == 77
    assert advice.experiment.name == "my-book"
    assert {choice.setting for choice in advice.choices} >= {
        "documents",
        "tokens",
        "starts from",
        "budget",
    }
    assert all(choice.value and choice.reason for choice in advice.choices)


def test_wrapped_prose_is_unwrapped_and_that_is_reported(tmp_path: Path):
    advice = look_at(write(tmp_path, f"{PROSE}\n\n" * 100))
    assert advice.experiment.corpus.clean.unwrap
    assert any(choice.setting == "unwrap" and choice.value == "yes" for choice in advice.choices)


def test_packed_and_structured_texts_are_inspected_too(tmp_path: Path):
    path = tmp_path / "songs.jsonl.gz"
    rows = "".join(json.dumps({"text": f"la la {n}", "id": n}) + "\n" for n in range(300))
    path.write_bytes(gzip.compress(rows.encode()))
    advice = look_at(path)
    assert advice.experiment.name == "songs"
    assert kind(advice) == "whole"
    path.write_bytes(gzip.compress(rows.replace("text", "body").encode()))
    assert "`body`" in next(c.reason for c in look_at(path).choices if c.setting == "documents")
    path.write_bytes(gzip.compress(rows.replace('"la la ', '"').encode()))
    look_at(path)  # a field named `text` is the text, whatever it holds
    path.write_bytes(gzip.compress(b'{"a": "x", "b": "y"}\n{"a": "x", "b": "z"}\n' * 20))
    with pytest.raises(CorpusError, match=r"\{a\}, \{b\}.*corpus.render='\{a\}'"):
        look_at(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes"),
        (b"\n \n\t\n", "is blank"),
        (b"aaaaaaaaaa\naaaa", "one character only, 'a'"),
        (b"\x00\x01\x02", "is not text: tried utf-8"),
    ],
)
def test_a_bad_source_is_a_clear_one_line_error(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        look_at(path)
    assert "\n" not in str(caught.value)


def test_an_export_of_recipes_is_rendered_as_recipes(tmp_path: Path):
    path = tmp_path / "family.mmf"
    path.write_text("\n".join([VERSION_7, VERSION_8] * 30))
    advice = look_at(path)
    assert (advice.experiment.corpus.form, kind(advice)) == ("recipe", "whole")


def test_files_of_a_published_split_keep_it(tmp_path: Path):
    for split in ("train", "valid", "test"):
        path = tmp_path / "texts" / f"{split}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(f"{split} {line}" for line in lines(100).splitlines()))
    advice = look_at(tmp_path / "texts")
    splits = {Path(s.path).stem: s.split for s in advice.experiment.corpus.sources}
    assert splits == {"train": "train", "valid": "validation", "test": "test"}
    assert advice.experiment.splits.by == "source"
    mixed = look_at(tmp_path / "texts", ("splits.by=hash",)).experiment
    assert (mixed.splits.by, len(mixed.corpus.sources)) == ("hash", 0)


def test_short_and_repetitive_texts_get_a_warning(tmp_path: Path):
    said = [c.value for c in look_at(write(tmp_path, lines(50))).choices if c.setting == "warning"]
    assert said == ["50 documents"]
    text = lines(300) + "the same line\n" * 3000
    said = [c.value for c in look_at(write(tmp_path, text)).choices if c.setting == "warning"]
    assert said == ["92% repeated"]
    with pytest.raises(CorpusError, match=r"holds 3 documents .expected at least 20"):
        look_at(write(tmp_path, "a\nb\nc\n"))


def test_a_choice_made_by_a_setting_is_shown_as_set(tmp_path: Path):
    settings = ("training.budget=0.3M tokens", "model.hidden_size=77", "model.num_layers=1")
    choices = {c.setting: c for c in look_at(write(tmp_path, lines(500)), settings).choices}
    assert (choices["budget"].value, choices["budget"].reason) == ("0.3M tokens", "as set")
    assert choices["network"].value == "num layers 1, hidden size 77"
