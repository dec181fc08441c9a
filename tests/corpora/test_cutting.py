import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rnnlm.config import ReadingConfig
from rnnlm.corpora import cutting
from rnnlm.corpora.cutting import (
    chapters,
    documents_of,
    lines,
    paragraphs,
    passages,
    records,
    sentence_ends,
)

BOOK = """A TALE

CONTENTS

CHAPTER I
CHAPTER II

CHAPTER I. How It Began

It began on a Monday, as such things do.

CHAPTER II. How It Ended

It ended on a Tuesday, to nobody's surprise.
"""
STANZAS = ["  BOOK ONE", "Xanadu, a line\n  Another line", "BOOK TWO", "A line from X to X"]
VERSE = "\n\n".join(STANZAS) + "\n\n"


@pytest.mark.parametrize(
    ("kind", "separator", "expected"),
    [
        ("whole", "", [VERSE.removesuffix("\n")]),
        ("lines", "", "\n".join(STANZAS).split("\n")),
        ("paragraphs", "", STANZAS),
        ("chapters", "", ["\n\n".join(STANZAS[:2]), "\n\n".join(STANZAS[2:])]),
        ("passages", "", [*passages(VERSE, 30)]),
        ("records", "", STANZAS),
        ("records", "^ *BOOK .*$", [STANZAS[1], STANZAS[3]]),
        ("records", " line$", ["  BOOK ONE\n\nXanadu, a", "  Another", "\n\n".join(STANZAS[2:])]),
    ],
)
def test_a_text_is_cut_as_the_settings_require(kind: str, separator: str, expected: list[str]):
    config = ReadingConfig.model_validate({"documents": kind, "separator": separator})
    assert [*documents_of(VERSE, config, 30)] == expected
    assert [*documents_of(" \n\n", config, 30)] == []


def test_what_a_document_is_must_be_decided_before_a_text_is_cut():
    with pytest.raises(AssertionError, match=r"^what a document is was not decided$"):
        documents_of("a", ReadingConfig(documents="auto"), 30)


def test_blank_lines_and_paragraphs_are_omitted():
    assert [*lines("one\n \ntwo words  \n")] == ["one", "two words"]
    assert [*paragraphs("\n\none\nmore\n \n\ntwo\n")] == ["one\nmore", "two"]


def test_the_line_after_a_blank_one_keeps_its_indentation():
    text = "  first\nline\n \n\t\n   second\n\tthird\n\n"
    assert [*paragraphs(text)] == ["  first\nline", "   second\n\tthird"]
    assert [*records(text, "")] == ["  first\nline", "   second\n\tthird"]
    methods = "".join(f"    def f{n}(self):\n        return {n}\n\n" for n in range(40))
    assert all(passage.startswith("    def f") for passage in passages(methods, 80))


def test_chapters_keep_their_headings_and_contents_are_not_chapters():
    found = [*chapters(BOOK)]
    assert found[0] == "A TALE\n\nCONTENTS"
    assert [chapter.split("\n")[0] for chapter in found[-2:]] == [
        "CHAPTER I. How It Began",
        "CHAPTER II. How It Ended",
    ]
    assert found[-1].endswith("to nobody's surprise.")
    assert not any(re.fullmatch(r"CHAPTER I+", chapter) for chapter in found)


def test_an_abbreviation_does_not_end_a_sentence():
    text = "Mr. Smith met Dr. J. Jones. " * 400
    for passage in passages(text, 300):
        assert passage.endswith("Jones.")


SIGNS = ".!?…؟۔।。！？｡\"'”’»)」』）》 \n\t\x1c\x85\u3000_é漢🙂\ud800"
ABBREVIATED = ("Mr. ", "Mrs.", " Ms. b", "Dr! ", "St. ", "Gen. ", "Sen.) ", " A. ", "É. ", "aMr. ")
PARTS = [*SIGNS, *ABBREVIATED, "\n\n", "\n \n", "word " * 9, "x" * 30, "One. ", "Of! ", 'Many?" ']
AWKWARD = st.lists(st.sampled_from(PARTS) | st.characters(), max_size=80).map("".join)


def cut_by_both(text: str, *part: int, within_line: bool) -> tuple[list[int], list[int]]:
    if cutting._native is None:
        pytest.skip("built without a compiler")
    by_native = cutting._slices(text, *part, within_line)
    native, cutting._native = cutting._native, None
    try:
        return by_native, cutting._slices(text, *part, within_line)
    finally:
        cutting._native = native


@given(AWKWARD, st.integers(1, 60), st.booleans(), st.integers(0, 5))
@example("", 1, False, 0)
def test_native_code_cuts_like_python(text: str, characters: int, within_line: bool, begin: int):
    start = min(begin, len(text))
    end = max(start, len(text) - begin)
    by_native, by_python = cut_by_both(text, start, end, characters, within_line=within_line)
    assert by_native == by_python


@pytest.mark.parametrize("characters", [1, 9, 20, 50, 700])
@pytest.mark.parametrize("within_line", [False, True])
def test_native_code_cuts_a_long_text_like_python(characters: int, within_line: bool):
    parts = [*PARTS, *(f"{n} {n % 7} " for n in range(9999))]
    text = "".join(random.Random(characters).choices(parts, k=2000)) + "x" * 5000
    by_native, by_python = cut_by_both(text, 3, len(text), characters, within_line=within_line)
    assert by_native == by_python


TITLES = ["Mr", "Mrs", "Ms", "Dr", "St", "Gen", "Sen", "M", "É", "Me", "Se", ""]
SENTENCE_END = st.tuples(
    *map(
        st.sampled_from,
        (
            [*"a_1É漢. (", ""],
            TITLES,
            ".!?…؟۔।。！？｡,",
            [*"\"'”’»)」』）》］", ""],
            [*" \n\u3000", ""],
        ),
    )
)


@settings(max_examples=300)
@given(SENTENCE_END.map("".join))
def test_native_code_ends_sentences_like_python(sentence: str):
    text = sentence + "b"
    half = (len(text) + 1) // 2  # any sentence of at least a quarter of the text ends a slice
    by_native, by_python = cut_by_both(text, 0, len(text), half, within_line=True)
    assert by_native == by_python


def test_a_part_beyond_the_text_is_not_cut():
    if cutting._native is None:
        pytest.skip("built without a compiler")
    for start, end, characters in ((2, 5, 9), (-1, 2, 9), (3, 1, 9), (0, 4, 0)):
        with pytest.raises(ValueError, match="cannot be cut"):
            cutting._slices("text", start, end, characters, within_line=False)


@given(st.text(alphabet='ab. "\n', max_size=400), st.integers(5, 100))
def test_passages_are_slices_of_the_text_and_omit_only_white_space(text: str, characters: int):
    place = 0
    for passage in passages(text, characters):
        found = text.index(passage, place)
        assert not text[place:found].strip()
        place = found + len(passage)
    assert not text[place:].strip()


def test_passages_have_about_the_requested_length():
    text = "\n\n".join(f"Paragraph {n} says something. " * 5 for n in range(500))
    cut = [*passages(text, 2000)]
    sizes = sorted(len(passage) for passage in cut[:-1])
    assert 1000 <= sizes[0]
    assert sizes[-1] <= 4500
    assert 1300 < sum(sizes) / len(sizes) < 2800


def test_an_edit_changes_only_the_passages_around_it():
    paragraphs = [f"Paragraph {n} says something or other. " * 4 for n in range(400)]
    before = {*passages("\n\n".join(paragraphs), 1000)}
    paragraphs.insert(50, "A new paragraph, never seen before. " * 4)
    after = {*passages("\n\n".join(paragraphs), 1000)}
    assert len(after - before) < 0.1 * len(after)


def test_a_very_long_paragraph_is_cut_at_sentence_ends():
    text = "This is one sentence of many. " * 1000
    for passage in [*passages(text, 500)][:-1]:
        assert passage.endswith(".")
        assert len(passage) <= 1500


def test_groups_of_sentences_cover_the_line_and_end_where_a_sentence_ends():
    line = "".join(f"Sentence {n} is short. " for n in range(60))
    text = f"Before. {line}After."
    start, end = len("Before. "), len(text) - len("After.")
    ends = sentence_ends(text, start, end, 100)
    assert ends[-1] == end
    assert all(text[:place].endswith("short. ") for place in ends)
    sizes = [after - before for before, after in zip([start, *ends], ends, strict=False)]
    assert all(50 <= size <= 230 for size in sizes[:-1])


def test_a_line_that_is_no_passage_by_itself_is_cut_into_groups_of_sentences():
    line = "".join(f"Sentence {n} is tiny. " for n in range(8))
    assert len([*passages(line, 100)]) == 1
    assert len(sentence_ends(line, 0, len(line), 100)) > 1
