"""Test near copies against datasketch and against exact Jaccard similarities.

Both are computed from shingles that this file cuts itself.
"""

import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm.corpora import duplicates
from tests.conftest import ingest_text

datasketch = pytest.importorskip(
    "datasketch", reason="the extra `peers` is missing; `make peers` adds it"
)

THRESHOLD = 0.8
VOCABULARY = [
    "".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz", k=2 + n % 7)) for n in range(900)
]


def shingles_of(text: str) -> set[bytes]:
    """Return the strings of 24 bytes that begin at the words of a text, in lower case."""
    data = " ".join(text.lower().split()).encode()
    starts = [found.start() for found in re.finditer(rb"[a-z0-9]+", data)]
    return {data[start : start + 24] for start in starts if start + 24 <= len(data)}


def similarity(first: str, second: str) -> float:
    one, other = shingles_of(first), shingles_of(second)
    return len(one & other) / len(one | other)


def minhash(text: str) -> "datasketch.MinHash":
    made = datasketch.MinHash(num_perm=duplicates.SIGNATURE_SIZE, seed=1)
    for shingle in sorted(shingles_of(text)):
        made.update(shingle)
    return made


def edited(text: str, changes: int, chance: random.Random) -> str:
    words = text.split(" ")
    for place in chance.sample(range(len(words)), changes):
        words[place] = chance.choice(VOCABULARY)
    return " ".join(words)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return texts, each followed by one with up to 29 of its 200 words replaced."""
    chance = random.Random(4)
    made = []
    for number in range(300):
        text = ", ".join(" ".join(chance.choices(VOCABULARY, k=20)).capitalize() for _ in range(10))
        made += [text, edited(text, number % 30, chance)]
    return made


def test_estimated_similarities_are_as_close_to_the_exact_ones_as_datasketchs(texts: list[str]):
    signed = duplicates.signatures(pa.array(texts, pa.large_string()))
    ours = (signed[::2] == signed[1::2]).mean(1)
    theirs = np.array(
        [minhash(a).jaccard(minhash(b)) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    )
    exact = np.array([similarity(a, b) for a, b in zip(texts[::2], texts[1::2], strict=True)])
    assert (exact.min() < 0.4, exact.max()) == (True, 1.0)
    # The share of equal MinHashes is binomial, or spreads less if they are not independent.
    error = np.sqrt(exact * (1.0 - exact) / duplicates.SIGNATURE_SIZE)
    for estimated in (ours, theirs):
        assert (np.abs(estimated - exact) <= 4.5 * error).all()
        assert abs((estimated - exact).sum()) < 4.0 * np.sqrt((error**2).sum())
        spread = np.square(estimated - exact)[error > 0] / np.square(error[error > 0])
        assert spread.mean() < 1.3


def test_ingestion_drops_the_copies_that_datasketchs_index_finds(texts: list[str], tmp_path: Path):
    index = datasketch.MinHashLSH(
        num_perm=duplicates.SIGNATURE_SIZE, params=(duplicates.BANDS, duplicates.BAND_WIDTH)
    )
    sketches = [minhash(text) for text in texts]
    theirs = set()
    for number, sketch in enumerate(sketches):
        similar = [sketch.jaccard(sketches[other]) for other in index.query(sketch)]
        if max(similar, default=0.0) >= THRESHOLD and texts[number] not in texts[:number]:
            theirs.add(texts[number])
        index.insert(number, sketch)
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    corpus = ingest_text(
        tmp_path / "texts.txt",
        tmp_path / "out",
        documents="lines",
        clean={"near_duplicates": THRESHOLD},
    )
    kept = {
        text
        for path in Path(corpus.uri).rglob("*.parquet")
        for text in pq.read_table(path)["text"].to_pylist()
    }
    ours = {*texts} - kept
    assert corpus.dropped["near copy"] == len(ours)
    assert len(ours) > 40
    exact = {b: similarity(a, b) for a, b in zip(texts[::2], texts[1::2], strict=True)}
    doubtful = {text for text in ours ^ theirs if abs(exact[text] - THRESHOLD) < 0.12}
    assert ours ^ theirs == doubtful  # the two differ only where an estimate may fall either way
    assert len(doubtful) < 0.5 * len(ours & theirs)
