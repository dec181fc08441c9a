import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.corpora import reading
from rnnlm.errors import CorpusError


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("naïve".encode(), "naïve", "utf-8"),
        ("naïve".encode("utf-8-sig"), "naïve", "utf-8-sig"),
        ("naïve".encode("utf-16"), "naïve", "utf-16"),
        ("naïve".encode("utf-32"), "naïve", "utf-32"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree", "utf-8"),
    ],
)
def test_encodings_are_found_and_line_ends_made_one(data: bytes, text: str, encoding: str):
    assert reading.decode(data, "auto", "test") == (text, encoding)


def test_a_legacy_encoding_is_found_and_said():
    original = "Les élèves français étaient déjà là, où l'été était très long. " * 20
    text, encoding = reading.decode(original.encode("cp1252"), "auto", "test")
    assert text == original
    assert encoding == "cp1252"


def test_a_named_encoding_is_used():
    assert reading.decode(b"\x82", "cp437", "test") == ("é", "cp437")
    with pytest.raises(CorpusError, match="no encoding"):
        reading.decode(b"x", "klingon", "test")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\xff\x00\x81\x00\x01"])
def test_bytes_that_are_no_text_name_what_was_tried_and_where_it_failed(data: bytes):
    with pytest.raises(CorpusError, match=r"utf-8 \(byte 0 is 0x.. *\)|utf-8 \(byte 0 is 0x\w\w\)"):
        reading.decode(data, "auto", "picture.png")


def test_a_nul_byte_is_no_text():
    with pytest.raises(CorpusError, match="control character at byte 3"):
        reading.decode(b"abc\x00def", "auto", "test")


@given(st.text(alphabet='ab. "\n', max_size=400), st.integers(5, 100))
def test_passages_are_slices_of_the_text_and_lose_nothing_visible(text: str, characters: int):
    place = 0
    for passage in reading.passages(text, characters):
        found = text.index(passage, place)
        assert not text[place:found].strip()
        place = found + len(passage)
    assert not text[place:].strip()


def test_passages_are_about_as_long_as_asked_for():
    text = "\n\n".join(f"Paragraph {n} says something. " * 5 for n in range(500))
    cut = [*reading.passages(text, 2000)]
    sizes = sorted(len(passage) for passage in cut[:-1])
    assert 1000 <= sizes[0]
    assert sizes[-1] <= 4500
    assert 1300 < sum(sizes) / len(sizes) < 2800


def test_an_edit_moves_only_the_passages_around_it():
    paragraphs = [f"Paragraph {n} says something or other. " * 4 for n in range(400)]
    before = {*reading.passages("\n\n".join(paragraphs), 1000)}
    paragraphs.insert(50, "A new paragraph, never seen before. " * 4)
    after = {*reading.passages("\n\n".join(paragraphs), 1000)}
    assert len(after - before) < 0.1 * len(after)


def test_one_endless_paragraph_is_cut_at_sentence_ends():
    text = "This is one sentence of many. " * 1000
    for passage in [*reading.passages(text, 500)][:-1]:
        assert passage.endswith(".")
        assert len(passage) <= 1500
