import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.config import SplitConfig
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
