import random
from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.config import SplitConfig
from rnnlm.corpora import splitting
from rnnlm.corpora.hashing import content_hash
from rnnlm.corpora.splitting import (
    SPLITS,
    split_by_hash,
    split_by_paragraph,
    split_by_position,
    split_by_shuffle,
)


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


def test_the_smallest_hashes_are_held_out():
    hashes = np.array([0, 2**61, 2**62, 2**63 - 2**12, 2**63, 2**64 - 1], dtype=np.uint64)
    codes = split_by_hash(hashes, SplitConfig(validation=0.375, test=0.125))
    assert [SPLITS[code] for code in codes] == ["test", *["validation"] * 3, "train", "train"]
    assert codes.dtype == np.int8


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
    assert sizes == [count * 8 // 10, count * 9 // 10 - count * 8 // 10, count - count * 9 // 10]
    assert codes.dtype == np.int8


@pytest.mark.parametrize("seed", [42, 7])
def test_a_shuffle_is_that_of_the_makemore_lectures(seed: int):
    words = [f"word {n}" for n in range(137)]
    codes = split_by_shuffle(len(words), SplitConfig(by="shuffle", seed=seed))
    shuffled = words.copy()
    random.Random(seed).shuffle(shuffled)
    ends = int(0.9 * len(words)), int(0.95 * len(words))
    expected = shuffled[: ends[0]], shuffled[ends[0] : ends[1]], shuffled[ends[1] :]
    for code, members in enumerate(expected):
        assert sorted(np.array(words)[codes == code]) == sorted(members)


@given(st.text())
def test_splitting_by_position_loses_nothing(text: str):
    parts = [*split_by_position(text, SplitConfig(by="position"))]
    assert "".join(part for part, _ in parts) == text
    assert [split for _, split in parts] == [*SPLITS]


@given(st.integers(0, 60))
def test_the_cuts_by_position_are_exact(tenths: int):
    config = SplitConfig(by="position", validation=0.1, test=0.2)
    sizes = [len(part) for part, _ in split_by_position("x" * 10 * tenths, config)]
    assert sizes == [7 * tenths, tenths, 2 * tenths]


def test_each_paragraph_is_in_one_split_and_blank_lines_replace_those_of_others():
    written = [f"Paragraph {n}, which has words.\nAnd a line {n}." for n in range(60)]
    config = SplitConfig(validation=0.3, test=0.3)
    parts = {name: part for part, name in split_by_paragraph("\n\n".join(written), config)}
    assert [*parts] == [*SPLITS]
    found = {name: part.split("\n\n") for name, part in parts.items()}
    assert sorted(chain.from_iterable(found.values())) == sorted(written)
    for members in found.values():
        assert len(members) > 5
        assert members == [one for one in written if one in members]  # in their order
    grown = "\n\n".join([*written[:30], "A new paragraph.", *written[30:]])
    for part, name in split_by_paragraph(grown, config):
        assert {*part.split("\n\n")} - {"A new paragraph."} == {*found[name]}


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
