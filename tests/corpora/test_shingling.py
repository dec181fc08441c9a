import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import duplicates, shingling
from rnnlm.corpora.shingling import hashes_by_numpy, shingle_hashes
from tests.conftest import ingest_text

SPACED = st.text(st.sampled_from("aAzZ09 .,-\t\n\x1c\x85\xa0\u2003\u3000é漢ก🙂"), max_size=200)


def signed(texts: list[str]) -> np.ndarray:
    return duplicates.signatures(pa.array(texts, pa.large_string()))


def near_copies(texts: list[str]) -> int:
    parts = signed(texts).reshape(len(texts), duplicates.BANDS, duplicates.BAND_WIDTH)
    found = duplicates.near_duplicates(lambda band: parts[:, band], len(texts), 0.8)
    return int(found.sum())


@given(st.lists(SPACED | st.text(max_size=100), max_size=6))
@example(["x" * 24, "x" * 25, "", " ", "the same words again and again and again"])
def test_native_code_agrees_with_numpy(texts: list[str]):
    if shingling._library() is None:
        pytest.skip("built without a compiler")
    column = pa.array(["before", *texts], pa.large_string())[1:]  # with an offset
    hashes, bounds = shingle_hashes(column)
    assert len(bounds) == len(texts) + 1
    for number, text in enumerate(texts):
        found = hashes[bounds[number] : bounds[number + 1]]
        assert found.tolist() == hashes_by_numpy(text).tolist()


@given(st.lists(st.tuples(*[st.integers(0, 2)] * duplicates.BAND_WIDTH), max_size=30))
def test_documents_with_an_equal_band_are_paired_with_the_first_and_the_previous(bands: list):
    band = np.array(bands, np.uint32).reshape(-1, duplicates.BAND_WIDTH)
    expected = set()
    for later, value in enumerate(bands):
        earlier = [place for place in range(later) if bands[place] == value]
        expected |= {(place, later) for place in earlier[:1] + earlier[-1:]}
    assert {*map(tuple, duplicates._candidates(band).tolist())} == expected


ALPHABETS = {
    "Chinese": "".join(map(chr, range(0x4E00, 0x4E00 + 2000))),
    "Japanese": "".join(map(chr, [*range(0x3041, 0x3097), *range(0x4E00, 0x4E00 + 500)])),
    "Thai": "".join(map(chr, range(0xE01, 0xE2F))),
    "DNA": "ACGT",
    "base64": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_only_near_copies_of_unspaced_texts_are_dropped(alphabet: str):
    chance = random.Random(alphabet)
    letters = ALPHABETS[alphabet]
    opening = "".join(chance.choices(letters, k=40))
    texts = [opening + "".join(chance.choices(letters, k=800)) for _ in range(300)]
    assert near_copies(texts) == 0
    edited = [text[:100] + letters[0] + letters[1] + text[102:] for text in texts]
    assert near_copies(texts + edited) == 300


def test_near_equal_short_lines_are_all_kept(tmp_path: Path):
    names = [f"Light Dusty Morning Rose Pink Number {n}" for n in range(300)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    assert not ingest_text(tmp_path / "names.txt", tmp_path / "out").dropped


def test_rows_that_share_an_opening_are_not_near_copies():
    chance = random.Random(0)
    frame = "the field of this record is always written in these same words: "
    texts = [frame + "".join(chance.choices("abcdefg hij", k=300)) for _ in range(300)]
    assert near_copies(texts) == 0
