from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnlm import batching
from rnnlm.batching import Window, windows
from rnnlm.tokens import BOUNDARY_ID, TokenArrays


def arrays_of(lengths: list[int]) -> TokenArrays:
    """Return documents in which every token except the boundary is unique."""
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(1, offsets[-1] + 1, dtype=np.uint32)
    tokens[offsets[1:] - 1] = BOUNDARY_ID
    count = np.array(lengths, dtype=np.int64)
    return TokenArrays(tokens, offsets, count, count)


documents = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@pytest.mark.parametrize("feed", ["documents", "stream"])
@pytest.mark.parametrize("seed", [None, 3])
@given(lengths=documents, batch_size=st.integers(1, 8), bptt=st.integers(1, 50))
def test_each_target_is_predicted_exactly_once(feed, seed, lengths, batch_size, bptt):
    arrays = arrays_of(lengths)
    order = None if seed is None else np.random.default_rng(seed)
    counted: Counter[int] = Counter()
    for window in windows(arrays, feed, batch_size, bptt, order):
        counted.update(window.targets[window.mask].tolist())
    assert counted == Counter(arrays.tokens.tolist())


@pytest.mark.parametrize("feed", ["documents", "stream"])
@given(lengths=documents, batch_size=st.integers(1, 8), bptt=st.integers(1, 50))
def test_the_input_is_the_true_token_before_the_target(feed, lengths, batch_size, bptt):
    arrays = arrays_of(lengths)
    before = {0: None}
    for start, end in zip(arrays.offsets[:-1], arrays.offsets[1:], strict=True):
        previous = BOUNDARY_ID
        for token in arrays.tokens[start:end].tolist():
            if token != BOUNDARY_ID:
                before[token] = previous
            previous = token
    order = np.random.default_rng(0)
    for window in windows(arrays, feed, batch_size, bptt, order):
        for given_token, target in zip(
            window.inputs[window.mask].tolist(), window.targets[window.mask].tolist(), strict=True
        ):
            if target != BOUNDARY_ID:
                assert before[target] == given_token


@given(lengths=documents, batch_size=st.integers(1, 8), bptt=st.integers(1, 50))
def test_lanes_continue_their_document_until_fresh(lengths, batch_size, bptt):
    arrays = arrays_of(lengths)
    open_documents: dict[int, int] = {}
    for window in windows(arrays, "stream", batch_size, bptt, np.random.default_rng(1)):
        for lane, (document, fresh) in enumerate(
            zip(window.documents.tolist(), window.fresh.tolist(), strict=True)
        ):
            if document >= 0:
                assert fresh or open_documents[lane] == document
                open_documents[lane] = document


def test_windows_of_whole_documents_are_fresh_and_have_little_padding():
    arrays = arrays_of([n % 37 + 1 for n in range(2000)])
    total = padded = 0
    for window in windows(arrays, "documents", 16, 1, np.random.default_rng(0)):
        assert window.fresh.all()
        total += window.mask.numel()
        padded += int((~window.mask).sum())
    assert padded / total < 0.1


def test_the_order_depends_on_the_generator():
    arrays = arrays_of([5] * 50)

    def order(seed: int) -> torch.Tensor:
        found = windows(arrays, "stream", 4, 5, np.random.default_rng(seed))
        return torch.stack([window.documents for window in found][:10])

    assert (order(1) == order(1)).all()
    assert (order(1) != order(2)).any()


def test_one_long_document_fills_all_lanes_in_training_and_one_in_scoring():
    arrays = arrays_of([1000])
    training = next(windows(arrays, "stream", 8, 50, np.random.default_rng(0)))
    assert training.inputs.shape == (8, 50)
    assert training.fresh.all()
    scoring = [*windows(arrays, "stream", 8, 50)]
    assert all(len(window.fresh) == 1 for window in scoring)
    assert sum(int(window.fresh.sum()) for window in scoring) == 1


def plain(window: Window) -> list[object]:
    """Return what a window holds where its targets count, lane by lane."""
    return [
        [
            (ids[mask].tolist(), after[mask].tolist())
            for ids, after, mask in zip(window.inputs, window.targets, window.mask, strict=True)
        ],
        window.fresh.tolist(),
        window.documents.tolist(),
        window.tokens,
    ]


@given(lengths=documents, batch_size=st.integers(1, 8), bptt=st.integers(1, 20))
def test_windows_do_not_depend_on_how_many_are_built_at_a_time(lengths, batch_size, bptt):
    arrays = arrays_of(lengths)

    def found(tokens: int) -> list[list[object]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batching, "BLOCK_TOKENS", tokens)
            order = np.random.default_rng(2)
            return [plain(w) for w in windows(arrays, "stream", batch_size, bptt, order)]

    assert found(1) == found(3 * bptt) == found(10_000)


def test_the_longest_documents_come_first_without_a_generator():
    arrays = arrays_of([3, 9, 1, 7, 9, 2])
    for feed in ("documents", "stream"):
        first = next(windows(arrays, feed, 2, 4))
        assert first.documents.tolist() == [1, 4]


def test_a_window_on_a_device_has_wide_ids_and_keeps_the_rest():
    window = next(windows(arrays_of([5, 4]), "stream", 2, 3))
    moved = window.to(torch.device("cpu"))
    assert moved.inputs.dtype == moved.targets.dtype == torch.int64
    assert plain(moved) == plain(window)
