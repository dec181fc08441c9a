from pathlib import Path

import pytest

from rnnlm.autoconfig import advise
from rnnlm.config import parse_budget
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


def test_choices_are_said_with_reasons_and_yield_to_settings(tmp_path: Path):
    advice = advise(write(tmp_path, lines(500)), ("model.hidden_size=77",))
    assert advice.experiment.model.hidden_size == 77
    assert advice.experiment.name == "my-book"
    assert {choice.setting for choice in advice.choices} >= {"documents", "tokenizer", "budget"}
    assert all(choice.value and choice.reason for choice in advice.choices)
