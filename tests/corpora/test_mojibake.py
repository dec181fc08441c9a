import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.corpora import mojibake
from rnnlm.corpora.mojibake import suspects

LETTERS = "aZ é€ÂÃâäœšŸ™“”‘…°·\xa0\xad\x85\x9d漢αяЖđ│╬¼¿§¶´²"


@given(st.lists(st.text(st.sampled_from(LETTERS), max_size=12) | st.text(max_size=12)))
def test_no_line_that_ftfy_fixes_is_missed(lines: list[str]):
    lines = [line.replace("\n", " ") for line in lines if line.isprintable() or line.isspace()]
    changed = {number for number, line in enumerate(lines) if ftfy.fix_encoding(line) != line}
    assert changed <= {*suspects(lines)}


@pytest.mark.parametrize("line", ["Â ", "yÂ ", "it Ã la carte", "ØªÙ\xa0Ø\xa0Ù\xa0"])
def test_mojibake_with_spaces_is_found(line: str):
    assert ftfy.fix_encoding(line) != line
    assert suspects([line]) == [0]


def test_mojibake_of_every_kind_is_found():
    texts = ["it’s", "naïve café", "“quoted”", "Größe", "Ελλάδα", "привет", "日本語", "20 €"]
    codecs = ("cp1252", "cp1251", "latin-1", "mac-roman", "cp437")
    lines = [text.encode().decode(codec, "replace") for text in texts for codec in codecs]
    changed = {number for number, line in enumerate(lines) if ftfy.fix_encoding(line) != line}
    assert len(changed) > 10
    assert changed <= {*suspects(lines)}


def test_the_fast_search_supports_the_pattern():
    assert mojibake._pattern() is not None
    assert suspects(["half of a character \ud83d", "plain"]) == [0]
    assert suspects(["plain", "tout à fait", "it\u00e2\u20ac\u2122s"]) == [2]
