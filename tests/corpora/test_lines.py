import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import lines

TEXTS = st.text(
    st.sampled_from("aAzé漢ßǅΣ٣1. ,;:!?\"'”’)(-–•|>#=~*+。\t\x0b\x1c\x85\xa0\u2003\u3000🙂\n\n  ")
    | st.characters(),
    max_size=120,
)


@given(TEXTS, st.randoms(use_true_random=False))
@example("", None)
@example("  12) it-\n em  -  x\n\n\n- item\n--- \nA. b, c", None)
def test_native_code_observes_and_joins_like_python(text: str, chance):
    if lines._native is None:
        pytest.skip("built without a compiler")
    seen = lines.observe(text)
    fields = np.frombuffer(seen.record, lines._RECORD)
    expected = np.frombuffer(lines._observe(text), lines._RECORD)
    is_filled = expected["end"] > expected["start"]
    for name in lines._RECORD.names[:-1]:
        assert fields[name].tolist() == expected[name].tolist(), name
    may_join = is_filled & np.concatenate([[False], is_filled[:-1]])
    chosen = [bool(chance.getrandbits(1)) if chance else True for _ in may_join]
    joins = may_join & np.array(chosen, bool)
    assert lines.join(text, seen, joins) == lines._join(text, joins)


def test_a_wrong_number_of_joins_is_refused():
    seen = lines.observe("one\ntwo")
    with pytest.raises(ValueError, match=r"differ in number|zip"):
        lines.join("one\ntwo", seen, np.zeros(3, np.bool_))
