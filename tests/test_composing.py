import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.composing import MOST_MARKS, compose, is_normalized, normalize
from rnnlm.config import GenerationConfig
from rnnlm.generation.prompt import prefixes_of

ENDLESS = "a" + "\u0301\u0316" * 100_000


def test_endless_combining_marks_take_linear_time():
    began = time.process_time()
    assert len(compose(ENDLESS)) <= MOST_MARKS + 1
    assert normalize("NFKD", ENDLESS) == "a" + "\u0316" * 15 + "\u0301" * 15
    assert prefixes_of(GenerationConfig(prefix=ENDLESS), None)[0].startswith("\u00e1")
    assert time.process_time() - began < 1.0


@given(st.text("ae\u0301\u0316\u0344é\u1e9b가\u1100\u1161", max_size=40))
def test_other_texts_are_composed_as_unicode_says(text: str):
    if all(len(run) <= MOST_MARKS // 2 for run in text.split("a")):
        assert compose(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("size", [510, 511, 512, 513])
def test_a_character_that_is_to_be_composed_is_found_at_any_place(size: int):
    text = "x" * size + "e\u0301"
    assert not is_normalized("NFC", text)
    assert compose(text) == "x" * size + "é"
    assert not is_normalized("NFC", "x" * (size - 1) + "\u1100\u1161")
