import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import reading


@given(st.text(st.characters(codec=None) | st.sampled_from("\t\n\r\x00\x1f\x7f\x80\ud800\udfff")))
@example("\t\n\r plain")
@example("x" * 100 + "\x0b")
@example("漢" * 100 + "\udfff")
def test_native_code_finds_control_characters_and_surrogates_like_python(text: str):
    if reading._native is None:
        pytest.skip("built without a compiler")
    found = reading._is_plain(text)
    native, reading._native = reading._native, None
    try:
        assert reading._is_plain(text) == found
    finally:
        reading._native = native
