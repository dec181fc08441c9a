from collections import Counter

import pytest

from rnnlm.config import CleaningConfig
from rnnlm.corpora.cleaning import clean
from rnnlm.corpora.unwrapping import join_wrapped, unwrap

GUTENBERG = """The Project Gutenberg EBook of X

*** START OF THIS PROJECT GUTENBERG EBOOK X ***
Once upon a time.
*** END OF THIS PROJECT GUTENBERG EBOOK X ***
Section 1. General Terms of Use
"""
CONTENTS = "\n".join([*(f"CHAPTER {n}" for n in range(1, 8)), "", "CHAPTER 1", "", "It began."])
PROSE = (
    "It was a dark and stormy night, and the wind howled over the moor as it\n"
    "had never howled before; the old house shook, and the lamp in the window\n"
    "went out.\n"
)
VERSE = "Tyger Tyger, burning bright,\nIn the forests of the night;\n"


def cleaned(text: str, **rules: object) -> tuple[str, dict[str, int]]:
    counts: Counter[str] = Counter()
    result = clean(text, CleaningConfig.model_validate(rules), counts)
    return result, {what: count for what, count in counts.items() if count}


@pytest.mark.parametrize(
    ("dirty", "rules", "result", "what"),
    [
        ("e\u0301te\u0301", {}, "été", "lines composed (NFC)"),
        ("it\u00e2\u20ac\u2122s", {}, "it\u2019s", "lines of mojibake mended"),
        ("co\u00adop\u200b", {}, "coop", "invisible characters removed"),
        (GUTENBERG, {"boilerplate": ["gutenberg"]}, "Once upon a time.\n", "characters of"),
        ("Name[i_1], told[12] twice", {"boilerplate": ["notes"]}, "Name, told twice", "notes"),
        ("a\n   *   *   *\nb", {"boilerplate": ["rules"]}, "a\nb", "rules removed"),
        ("Q Why?\nA reason. (Laughter.)", {"boilerplate": ["transcript"]}, "A reason.", "quest"),
        ("PRESIDENT OBAMA: Hello.", {"boilerplate": ["transcript"]}, "Hello.", "speakers"),
        ("Call 555-0199 now", {"remove": [r"\d{3}-\d{4} "]}, "Call now", "matches of"),
    ],
)
def test_each_rule_changes_the_text_and_is_counted(
    dirty: str, rules: dict[str, object], result: str, what: str
):
    text, counts = cleaned(dirty, **rules)
    assert text == result
    assert any(what in name for name in counts)


def test_rules_that_are_off_change_nothing():
    dirty = "e\u0301 it\u00e2\u20ac\u2122s co\u00adop [i_1]\n* * *\n"
    text, counts = cleaned(dirty, nfc=False, mojibake=False, soft_hyphens=False)
    assert text == dirty
    assert not counts


def test_a_table_of_contents_is_removed_and_the_first_chapter_keeps_its_heading():
    text, counts = cleaned(CONTENTS, boilerplate=["contents"])
    assert text == "CHAPTER 1\n\nIt began."
    assert counts == {"lines of contents removed": 7}


def test_wrapped_prose_becomes_paragraphs_and_verse_keeps_its_lines():
    text, joins = unwrap(f"{PROSE}\n{VERSE}\n{PROSE}")
    paragraph = PROSE.replace("\n", " ").strip()
    assert text == f"{paragraph}\n\n{VERSE.strip()}\n\n{paragraph}"
    assert joins == 4


def test_text_that_is_not_wrapped_is_unchanged():
    for text in ("one\ntwo\n", "A paragraph on one line. " * 20 + "\n" + "Another. " * 40, ""):
        assert unwrap(text) == (text, 0)


def test_an_indented_line_begins_a_paragraph():
    lines = ["x" * 70 + " y", "   " + "z" * 70]
    assert [*join_wrapped(lines, 72)] == [lines[0], lines[1].strip()]
