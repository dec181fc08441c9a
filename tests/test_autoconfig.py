from pathlib import Path

import pytest

from rnnlm.autoconfig import advise
from rnnlm.config import parse_budget
from rnnlm.errors import CorpusError
from tests.conftest import lines

PROSE = "It was a dark and stormy night, and the wind\nhowled over the moor as it had never\n" * 3


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "My Book!.txt"
    path.write_text(text)
    return path


def test_lines_are_documents_when_each_stands_for_itself(tmp_path: Path):
    advice = advise(write(tmp_path, lines(500)))
    assert advice.experiment.corpus.documents == "lines"
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
    advice = advise(write(tmp_path, text))
    assert advice.experiment.corpus.documents == "passages"
    assert advice.experiment.training.feed == "stream"


def test_larger_texts_get_larger_networks_and_fewer_readings(tmp_path: Path):
    paragraph = "".join(f"Sentence {n} of the paragraph. " for n in range(20)) + "\n\n"
    found = []
    for size in (10_000, 200_000, 10_000_000):
        text = paragraph * (size // len(paragraph))
        advice = advise(write(tmp_path, text))
        budget = parse_budget(advice.experiment.training.budget)
        found.append((advice.experiment.model.hidden_size, budget.amount / len(text)))
    widths, readings = zip(*found, strict=True)
    assert widths == (128, 256, 384)
    assert readings[0] > readings[1] > readings[2]
    assert readings[2] == pytest.approx(1, rel=0.02)


def test_a_script_with_many_characters_is_read_as_bytes(tmp_path: Path):
    text = "".join(chr(0x4E00 + n % 3000) + ("\n" if n % 20 == 0 else "") for n in range(20_000))
    assert advise(write(tmp_path, text)).experiment.tokenizer.kind == "byte"
    assert advise(write(tmp_path, lines(500))).experiment.tokenizer.kind == "character"


def test_settings_of_the_corpus_decide_what_is_looked_at(tmp_path: Path):
    path = tmp_path / "wide.txt"
    path.write_bytes(lines(500).encode("utf-16-le"))
    with pytest.raises(CorpusError, match=r"corpus\.encoding=NAME"):
        advise(path)
    named = advise(path, ("corpus.encoding=utf-16-le", "corpus.documents=passages"))
    assert named.experiment.corpus.encoding == "utf-16-le"
    assert named.experiment.training.feed == "stream"


def test_one_endless_line_among_many_does_not_ask_for_all_memory(tmp_path: Path):
    advice = advise(write(tmp_path, lines(2000) + "x y" * 50_000 + "\n"))
    assert advice.experiment.corpus.documents == "lines"
    assert advice.experiment.training.feed == "stream"


def test_records_of_even_length_are_lines(tmp_path: Path):
    rows = [
        f"2026-01-{n % 28 + 1:02d},Customer {n:05d},{n * 37 % 1000:04d},EUR,paid"
        for n in range(500)
    ]
    advice = advise(write(tmp_path, "\n".join(rows)))
    assert advice.experiment.corpus.documents == "lines"


def test_names_that_are_not_ascii_stay_apart(tmp_path: Path):
    names = set()
    for stem in ("война", "мир", "Krieg & Frieden"):
        (tmp_path / f"{stem}.txt").write_text(lines(200))
        names.add(advise(tmp_path / f"{stem}.txt").experiment.name)
    assert len(names) == 3


def test_choices_are_said_with_reasons_and_yield_to_settings(tmp_path: Path):
    advice = advise(write(tmp_path, lines(500)), ("model.hidden_size=77",))
    assert advice.experiment.model.hidden_size == 77
    assert advice.experiment.name == "my-book"
    assert {choice.setting for choice in advice.choices} >= {"documents", "tokenizer", "budget"}
    assert all(choice.value and choice.reason for choice in advice.choices)
