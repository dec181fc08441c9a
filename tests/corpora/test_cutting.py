import re

from hypothesis import given
from hypothesis import strategies as st

from rnnlm.corpora.cutting import chapters, lines, paragraphs, passages

BOOK = """A TALE

CONTENTS

CHAPTER I
CHAPTER II

CHAPTER I. How It Began

It began on a Monday, as such things do.

CHAPTER II. How It Ended

It ended on a Tuesday, to nobody's surprise.
"""


def test_blank_lines_and_paragraphs_are_omitted():
    assert [*lines("one\n \ntwo  \n")] == ["one", "two"]
    assert [*paragraphs("\n\none\nmore\n \n\ntwo\n")] == ["one\nmore", "two"]


def test_chapters_keep_their_headings_and_contents_are_not_chapters():
    found = [*chapters(BOOK)]
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
