"""Test lists of phrases: documents that hold phrases of a passage, one per line."""

import re
from collections import Counter
from pathlib import Path
from string import capwords

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.corpora.documents import iter_texts, shards
from rnnlm.corpora.phrases import list_phrases
from tests.conftest import ingest_text

PASSAGE = (
    '"Well," said the King, "it is a fine day--is it not?" And he went\nout into the Garden of '
    "Eden, where the well-known birds sang about what they knew."
)


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z]+", text.lower()))


@given(st.integers(0, 2**64 - 1))
def test_phrases_occur_in_the_passage(seed: int):
    made = list_phrases(PASSAGE, seed)
    assert words(made) <= words(PASSAGE)
    squeezed = " ".join(PASSAGE.split()).lower()
    assert all(phrase.lower() in squeezed for phrase in made.split("\n"))
    assert made == list_phrases(PASSAGE, seed)


def test_lists_vary_in_letter_case():
    lists = [list_phrases(PASSAGE, seed) for seed in range(60)]
    assert sum(made.islower() for made in lists) >= 3
    assert sum(all(p == capwords(p) for p in made.split("\n")) for made in lists) >= 3
    assert sum("the King" in made for made in lists) >= 3


def test_only_training_passages_get_lists_of_phrases(tmp_path: Path):
    text = "\n\n".join(
        f"Passage number {n} says that the {n} birds sang, all day." for n in range(400)
    )
    (tmp_path / "text.txt").write_text(text)
    plain, listed = (
        ingest_text(
            tmp_path / "text.txt", tmp_path / str(share), documents="paragraphs", phrases=share
        )
        for share in (0.0, 0.25)
    )
    for split in ("validation", "test"):
        assert [*iter_texts(plain.uri, split)] == [*iter_texts(listed.uri, split)]
    before, after = [*iter_texts(plain.uri, "train")], [*iter_texts(listed.uri, "train")]
    added = Counter(after) - Counter(before)
    assert not Counter(before) - Counter(after)
    assert 0.15 < added.total() / len(before) < 0.35
    assert listed.documents["train"] == len(after)
    assert listed.characters["train"] == sum(map(len, after))
    ids = [
        i for shard in shards(listed.uri) for i in pq.read_table(shard)["document_id"].to_pylist()
    ]
    assert len({*ids}) == len(ids)
    assert sum(i.endswith("-phrases") for i in ids) == added.total()


def test_a_passage_without_phrases_adds_nothing(tmp_path: Path):
    (tmp_path / "text.txt").write_text("\n\n".join(f"{n} ?!" for n in range(10, 99)))
    corpus = ingest_text(
        tmp_path / "text.txt", tmp_path / "out", documents="paragraphs", phrases=1.0
    )
    assert all(text.endswith("?!") for text in iter_texts(corpus.uri, "train"))
