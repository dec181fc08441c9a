import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import paragraphs as module
from rnnlm.corpora.paragraphs import paragraphs

SHORT = [
    "a",
    "é",
    "漢。",
    "🙂",
    " ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "\x85",
    "\u2028",
    "\x1c",
    "\ud800",
]
LONG = ["word " * 9, "x" * 199, "Sentences. " * 200, "one line\n" * 20, "One of many.\n" * 200]
PARTS = st.sampled_from([*SHORT, *LONG])
TEXTS = st.lists(PARTS, max_size=12).map("".join)


@given(TEXTS)
@example("")
@example("\n \n\n")
@example("x" * 201 + "\n\n")
def test_paragraphs_cover_the_text_and_native_code_agrees_with_python(text: str):
    bounds = paragraphs(text)
    assert "".join(text[start:end] for start, end in bounds.tolist()) == text
    if module._native is None:
        pytest.skip("built without a compiler")
    native, module._native = module._native, None
    try:
        assert paragraphs(text).tolist() == bounds.tolist()
    finally:
        module._native = native
