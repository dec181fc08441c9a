from typing import Any

import pytest
from rich.console import Console

from flows.console import printing, tables
from flows.console.screens import score_facts, texts_facts

GENERATED: dict[str, Any] = {
    "form": "text", "count": 200, "drawn": 200, "path": "out", "valid_share": 1.0,
    "copied_share": None, "complete_share": 1.0, "was_finished": False, "pages": [],
    "engine": "native", "precision": "int8", "engine_note": "",
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


def test_texts_that_are_cut_off_are_counted_if_they_are_many():
    assert "cut off" not in dict(texts_facts(GENERATED | {"complete_share": 0.95}))
    rows = dict(texts_facts(GENERATED | {"complete_share": 0.375}))
    assert rows["cut off"].startswith("62.5% of the texts; --max-length")


def console(width: int, *, is_terminal: bool = True) -> printing.Output:
    return printing.Output(force_terminal=is_terminal, width=width)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_long_lines_are_folded_between_words_and_indented(width: int):
    words = " ".join(f"word{number}" for number in range(60))
    folded = printing.hanging(console(width), "  test       ", words).split("\n")
    assert all(len(line) <= width for line in folded)
    assert folded[0].startswith("  test       word0 ")
    assert all(line.startswith(" " * 13 + "word") for line in folded[1:])
    assert " ".join(line[13:] for line in folded) == words
    barred = printing.hanging(console(width), "  │ ", words).split("\n")
    assert all(line.startswith("  │ word") for line in barred)


def test_a_line_that_fits_or_goes_to_a_file_stays_one_line():
    words = " ".join(["word"] * 60)
    assert printing.hanging(console(80), "  test  ", "a few words") == "  test  a few words"
    for at_most in (0, 2):
        line = printing.hanging(console(80, is_terminal=False), "  test  ", words, at_most)
        assert line == f"  test  {words}"


def test_a_line_is_cut_off_after_some_lines_if_that_is_wanted():
    folded = printing.hanging(console(60), "  writes  ", " ".join(["word"] * 60), 2).split("\n")
    assert len(folded) == 2 and folded[-1].endswith("word …")
    assert max(map(len, folded)) <= 60


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
