import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.tokens import TokenArrays, spread


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 3000))
def test_a_choice_has_about_the_requested_size_and_is_spread_evenly(sizes: list[int], most: int):
    chosen = spread(np.array(sizes), most)
    assert chosen.any()
    if sum(sizes) <= most:
        assert chosen.all()
        return
    share = most / sum(sizes)
    for end in range(len(sizes) + 1):  # the same share of the first documents is chosen
        assert abs(int(chosen[:end].sum()) - share * end) <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_only_keeps_the_chosen_documents(documents: list[tuple[int, bool]]):
    lengths = np.array([length for length, _ in documents])
    kept = np.array([is_kept for _, is_kept in documents])
    tokens = np.arange(lengths.sum(), dtype=np.uint16)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    some = TokenArrays(tokens, offsets, lengths, lengths).only(kept)
    pieces = np.split(tokens, offsets[1:-1])
    expected = [piece for piece, is_kept in zip(pieces, kept, strict=True) if is_kept]
    assert some.tokens.dtype == tokens.dtype
    assert some.tokens.tolist() == [token for piece in expected for token in piece]
    assert some.lengths.tolist() == lengths[kept].tolist()


def test_nothing_is_chosen_from_no_documents():
    assert spread(np.zeros(0, np.int64), 5).shape == (0,)


@pytest.mark.parametrize("most", [1, 10])
def test_a_single_long_document_is_chosen(most: int):
    assert spread(np.array([100]), most).tolist() == [True]
