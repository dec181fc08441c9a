"""Test the hints that are shown if a network scores worse than the n-gram model."""

from pathlib import Path
from typing import Any

import pytest

from flows.console.hints import what_to_try


@pytest.fixture(autouse=True)
def _base_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.console.hints.shipped", lambda _: Path(__file__))


def result(bits: float, **training: Any) -> dict[str, Any]:
    facts = {
        "architecture": "lstm",
        "base": "none",
        "budget": "1M tokens",
        "dropout": 0.2,
        "step": 100,
        "best_step": 100,
    }
    return {
        "test": {
            "bits_per_character": bits,
            "bits_per_byte": bits,
            "ngram_bits_per_character": 2.0,
        },
        "training": facts | training,
        "corpus": {"characters": {"train": 1_000_000}},
        "generated": {"copied_share": None},
        "model": "names",
    }


def test_a_network_that_wins_needs_no_hints():
    assert what_to_try(result(1.9)) == []


def test_if_many_texts_are_copies_the_hint_says_how_to_leave_them_out():
    copying = result(1.9)
    copying["generated"]["copied_share"] = 0.24
    assert what_to_try(copying) == []
    copying["generated"]["copied_share"] = 0.25
    [hint] = what_to_try(copying)
    assert hint.startswith("new texts only: ")
    assert hint.endswith("rnnlm generate names --novel-only")


def test_counts_of_ngrams_get_no_hints_for_networks():
    assert what_to_try(result(2.0, architecture="ngram")) == []


def test_a_network_that_was_still_learning_should_train_longer():
    hints = what_to_try(result(2.1))
    assert hints[0] == "start from English: --set training.base=english"
    assert any("train longer than 1M tokens" in hint for hint in hints)


def test_a_text_in_another_script_gets_no_hint_to_start_from_english():
    chinese = result(9.0)
    chinese["test"]["bits_per_byte"] = 3.0
    assert not any("English" in hint for hint in what_to_try(chinese))


def test_an_overfitted_network_should_use_more_dropout():
    hints = what_to_try(result(2.1, best_step=40, base="english"))
    assert len(hints) == 1
    assert "overfitted after 40% of its training" in hints[0]
    assert "--set model.dropout=0.3" in hints[0]
