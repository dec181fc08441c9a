from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm.generation import selecting
from rnnlm.generation.selecting import accepted_texts, count_repeated, first_ones, places_of
from rnnlm.generation.shard_sampling import Drawing, DrawnShard
from tests.generation.jobs import CONFIG

TEXTS = ["a+ b+ b-", "", "b+ a- c+ d-", "d+", "e- a+ c+ c+ e+"]
"""The drawn texts of each shard. Their names are their texts, and `+` marks the accepted ones."""


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "TEXTS_AT_ONCE", 7)


@pytest.fixture
def shards(tmp_path: Path) -> list[DrawnShard]:
    drawing = Drawing("job", tmp_path, "0", None, "cpu", CONFIG, "text", None, None, tmp_path)
    drawn: list[DrawnShard] = []
    for number, texts in enumerate(map(str.split, TEXTS)):
        first = sum(shard.count for shard in drawn)
        drawn.append(DrawnShard(drawing, number, first, len(texts)))
        hashes = pa.array([ord(text[0]) << 56 for text in texts], pa.uint64())
        accepted = pa.array([text[1] == "+" for text in texts], pa.bool_())
        pq.write_table(pa.table({"hash": hashes, "accepted": accepted}), drawn[-1].path)
    return drawn


def marked(text: str) -> list[bool]:
    return [sign == "+" for sign in text if sign in "+-"]


def test_accepted_texts_are_in_the_order_of_their_numbers(shards: list[DrawnShard]):
    assert accepted_texts(shards, unique=False).tolist() == marked("".join(TEXTS))


def test_unique_refuses_texts_that_equal_an_accepted_text_with_a_lower_number(
    shards: list[DrawnShard],
):
    expected = marked("a+ b+ b-  b- a- c+ d-  d+  e- a- c- c- e+")
    assert accepted_texts(shards, unique=True).tolist() == expected


@pytest.mark.parametrize(
    ("kept", "repeated"),
    [
        ("a+ b+ b+  b+ a+ c+ d+  d+  e+ a+ c+ c+ e+", 8),
        ("a- b- b-  b+ a- c- d+  d+  e- a+ c+ c+ e+", 2),
        ("a+ b- b-  b- a- c- d-  d-  e- a+ c- c- e-", 1),
        ("a- b- b-  b- a- c- d-  d-  e- a- c- c- e-", 0),
    ],
)
def test_only_kept_texts_count_as_repetitions(shards: list[DrawnShard], kept: str, repeated: int):
    assert count_repeated(shards, np.array(marked(kept))) == repeated


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("texts", [0, 1, 7, 50])
def test_places_match_the_positions_of_true_flags(texts: int, share: float):
    flags = np.random.default_rng(texts).random(texts) < share
    everywhere = np.flatnonzero(flags)
    for step in (1, 3, 20):
        ordinals = np.arange(0, texts + 5, step)
        assert places_of(flags, ordinals).tolist() == everywhere[::step].tolist()


@pytest.mark.parametrize("count", [0, 1, 13, 40, 50])
def test_the_first_accepted_texts_are_kept(count: int):
    accepted = np.arange(60) % 3 != 1
    kept = first_ones(accepted, count)
    assert np.flatnonzero(kept).tolist() == np.flatnonzero(accepted)[:count].tolist()
    assert accepted.sum() == 40
