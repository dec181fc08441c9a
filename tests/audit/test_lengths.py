import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.audit.lengths import add_counts, count_lengths, quantiles

LENGTHS = st.lists(st.integers(0, 10**7), min_size=1, max_size=50)


def counted(lengths: list[int]) -> dict[int, int]:
    return count_lengths(np.array(lengths, dtype=np.int64))


@given(LENGTHS)
def test_a_bin_is_exact_below_64_and_close_above(lengths: list[int]):
    for length in lengths:
        (least,) = counted([length])
        assert least == length if length < 64 else length * 31 / 32 < least <= length


@given(LENGTHS, LENGTHS)
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(first: list[int], second: list[int]):
    assert add_counts([counted(first), counted(second)]) == counted(first + second)


@given(st.lists(st.integers(0, 63), min_size=1))
def test_quantiles_of_short_lengths_are_exact(lengths: list[int]):
    found = quantiles(counted(lengths), (0.0, 0.5, 1.0))
    assert found["0%"] == min(lengths)
    assert found["100%"] == max(lengths)
    assert sum(length <= found["50%"] for length in lengths) >= len(lengths) / 2
    assert sum(length < found["50%"] for length in lengths) < len(lengths) / 2


def test_no_lengths_have_no_quantiles():
    assert quantiles(counted([])) == {}
