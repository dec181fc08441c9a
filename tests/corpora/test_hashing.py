import hashlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import hashing
from rnnlm.corpora.hashing import content_hash, content_hashes, word_hashes

TEXTS = st.text(
    st.sampled_from("ab \n\t\x1c\x85\xa0\u3000é漢🙂\ud800") | st.characters(), max_size=300
)


@given(st.lists(st.text(max_size=300), max_size=5), st.integers(0, 2))
@example(["x" * size for size in (0, 1, 127, 128, 129, 256, 257)], 0)
def test_the_hash_of_a_text_is_its_blake2b(texts: list[str], before: int):
    column = pa.array([*["before"] * before, *texts], pa.large_string())[before:]
    digests = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in texts]
    assert [f"{value:016x}" for value in content_hashes(column).tolist()] == digests
    assert [f"{content_hash(text):016x}" for text in texts] == digests


@given(TEXTS | st.text("ab \n\t\x1c", max_size=300), st.lists(st.integers(0, 300), max_size=6))
@example("  one two\n", [0, 10])
@example("one  two", [0, 8])
def test_the_hash_of_a_part_depends_on_its_words_alone(text: str, places: list[int]):
    places = sorted(min(place, len(text)) for place in places)
    bounds = np.array([*pairwise(places)], np.int64).reshape(-1, 2)
    expected = [content_hash(" ".join(text[start:end].split())) for start, end in bounds.tolist()]
    assert word_hashes(text, bounds).tolist() == expected


def test_without_native_code_the_hashes_are_the_same(monkeypatch: pytest.MonkeyPatch):
    text, bounds = "one  two\nthré", np.array([[0, 9], [9, 13]])
    column = pa.array(["one", "", "漢"], pa.large_string())
    found = content_hashes(column).tolist(), word_hashes(text, bounds).tolist()
    monkeypatch.setattr(hashing, "_native", None)
    assert (content_hashes(column).tolist(), word_hashes(text, bounds).tolist()) == found
    assert len(content_hashes(column[:0])) == len(word_hashes("", bounds[:0])) == 0


def test_parts_beyond_the_text_are_refused():
    if hashing._native is None:
        pytest.skip("built without a compiler")
    with pytest.raises(ValueError, match="beyond the text"):
        word_hashes("text", np.array([[2, 5]]))
    for offsets in ([0, 5], [3, 1, 4], [-1, 2], []):
        with pytest.raises(ValueError, match="beyond the data"):
            hashing._native.hashes(b"text", np.array(offsets, np.int64))
