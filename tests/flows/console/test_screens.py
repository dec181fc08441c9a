from typing import Any

import pytest
from rich.console import Console

from flows.console import printing, tables
from flows.console.screens import score_facts, texts_facts

GENERATED: dict[str, Any] = {
    "form": "text", "count": 200, "drawn": 200, "path": "out", "valid_share": 1.0,
    "copied_share": None, "was_finished": False, "pages": [], "engine": "native",
    "precision": "int8", "engine_note": "",
    "audit": {"generated": {"near_copied_share": None, "disclosed": None}, "duplicate_share": None},
}  # fmt: skip


def test_empty_texts_are_counted():
    assert "empty" not in dict(texts_facts(GENERATED))
    rows = dict(texts_facts(GENERATED | {"valid_share": 0.985}))
    assert rows["empty"].startswith("3 of the texts")


def test_the_screen_says_that_a_verdict_counts_unknown_words():
    names = "bits_per_character", "bits_per_character_low", "bits_per_character_high"
    test = dict.fromkeys((*names, "ngram_bits_per_character", "perplexity", "tokens"), 1.5)
    assert [name for name, _ in score_facts(test | {"unknown": 0})] == ["test", "n-grams"]
    rows = dict(score_facts(test | {"unknown": 1234}))
    assert rows["unknown"] == "1,234 of the tokens; the verdict counts their spelling"


def test_disclosed_numbers_are_counted():
    counts = {"copied_numbers": 1200, "copied_addresses": 3}
    generated = {"near_copied_share": None, "disclosed": counts}
    audit = {"generated": generated, "duplicate_share": None}
    assert "disclosed" not in dict(texts_facts(GENERATED))
    rows = dict(texts_facts(GENERATED | {"audit": audit}))
    assert rows["disclosed"].startswith("1,203 long numbers")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_texts_from_right_to_left_are_isolated_on_a_terminal(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(printing, "out", Console(force_terminal=is_terminal))
    for text in ("שלום עולם (12)", "قصة قصيرة, 3"):
        shown = printing.visible(text)
        assert shown == (f"\u2068{text}\u2069" if is_terminal else text)
    for text in ("plain", "naïve 漢字 🙂", "a\u200db", "tab\tbed"):
        assert printing.visible(text) == text


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "a\x9b31mb", "x\u202egnp.exe", "\r over"])
def test_texts_cannot_control_the_terminal(
    hostile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(printing, "out", Console(force_terminal=True))
    printing.samples([hostile])
    monkeypatch.setattr(tables, "out", printing.out)
    tables.show(["name"], [[hostile]])
    printing.facts([("name", hostile)])
    said = capsys.readouterr().out
    assert not {"\x07", "\x9b", "\u202e", "\r"} & {*said}
    assert said.count("·") >= 3
