import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.config import SplitConfig
from rnnlm.corpora import splitting
from rnnlm.corpora.hashing import content_hash
from rnnlm.corpora.splitting import SPLITS, split_by_hash, split_by_position, split_by_shuffle


def splits_of(documents: list[str], config: SplitConfig) -> list[str]:
    hashes = np.array([content_hash(document) for document in documents], dtype=np.uint64)
    return [SPLITS[code] for code in split_by_hash(hashes, config)]


@given(st.lists(st.text(), min_size=1), st.lists(st.text()))
def test_the_split_depends_on_the_document_alone(documents: list[str], others: list[str]):
    config = SplitConfig(validation=0.2, test=0.2)
    together = splits_of(others + documents, config)
    assert together[len(others) :] == splits_of(documents, config)


def test_split_shares_are_as_requested():
    splits = splits_of(
        [f"document {n}" for n in range(10_000)], SplitConfig(validation=0.1, test=0.2)
    )
    assert abs(splits.count("test") / 10_000 - 0.2) < 0.02
    assert abs(splits.count("validation") / 10_000 - 0.1) < 0.02


def test_a_larger_test_share_keeps_the_earlier_test_documents():
    documents = [str(n) for n in range(500)]
    small, large = (
        splits_of(documents, SplitConfig(test=0.05)),
        splits_of(documents, SplitConfig(test=0.2)),
    )
    assert all(new == "test" for old, new in zip(small, large, strict=True) if old == "test")


@given(st.integers(0, 500))
def test_a_shuffle_assigns_every_document_to_a_split(count: int):
    config = SplitConfig(by="shuffle", validation=0.1, test=0.1)
    codes = split_by_shuffle(count, config)
    sizes = [int((codes == code).sum()) for code in range(3)]
    assert sum(sizes) == count
    assert sizes[0] == int(0.8 * count)


@given(st.text())
def test_splitting_by_position_loses_nothing(text: str):
    parts = [*split_by_position(text, SplitConfig(by="position"))]
    assert "".join(part for part, _ in parts) == text
    assert [split for _, split in parts] == [*SPLITS]


PARTS = st.text(st.sampled_from("ab \n\t\u3000é漢🙂") | st.characters(), max_size=6)


@given(st.lists(st.tuples(PARTS, st.booleans()), max_size=12))
@example([("one\n\n", True), (" \n", True), ("two\n", False), (" \n", True), ("three ", True)])
def test_native_code_joins_paragraphs_like_python(parts: list[tuple[str, bool]]):
    if splitting._native is None:
        pytest.skip("built without a compiler")
    ends = np.cumsum([0, *(len(part) for part, _ in parts)], dtype=np.int64)
    bounds = np.stack([ends[:-1], ends[1:]], axis=1)
    chosen = np.array([is_chosen for _, is_chosen in parts], dtype=np.bool_)
    text = "".join(part for part, _ in parts)
    joined = splitting._joined(text, bounds, chosen)
    native, splitting._native = splitting._native, None
    try:
        assert splitting._joined(text, bounds, chosen) == joined
    finally:
        splitting._native = native


def test_parts_that_are_not_parts_of_the_text_are_refused():
    if splitting._native is None:
        pytest.skip("built without a compiler")
    for bounds in ([[0, 9]], [[2, 1]], [[2, 3], [1, 2]], [[-1, 2]], [[0, 1], [1, 2], [2, 3]]):
        with pytest.raises(ValueError, match="not parts of the text"):
            splitting._joined("text", np.array(bounds), np.ones(min(2, len(bounds)), np.bool_))
