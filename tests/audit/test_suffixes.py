from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm.audit.suffixes import SuffixArray, open_suffixes, write_suffixes

FEW = st.text(alphabet="abé€ ", max_size=40)
ANY = st.text(max_size=12)
REPETITIVE = st.builds(
    lambda part, times: part * times, st.text("ab", max_size=3), st.integers(1, 9)
)
TEXTS = st.lists(FEW | ANY | REPETITIVE, min_size=1, max_size=5)


def sorted_in(folder: Path, training: list[str], most_bytes: int = 1000) -> SuffixArray:
    write_suffixes(training, folder, most_bytes)
    return open_suffixes(folder)


def longest_from(text: str, start: int, training: list[str]) -> int:
    length = 0
    while start + length < len(text) and any(
        text[start : start + length + 1] in t for t in training
    ):
        length += 1
    return length


@settings(deadline=None)
@given(training=TEXTS, texts=TEXTS)
def test_runs_match_a_brute_force_search(training: list[str], texts: list[str]):
    with TemporaryDirectory() as folder:
        matches = sorted_in(Path(folder), training, 100_000).find(texts)
    for number, text in enumerate(texts):
        expected = [longest_from(text, start, training) for start in range(len(text))]
        assert matches.of(number).tolist() == expected
        assert matches.longest[number] == max(expected, default=0)


@settings(deadline=None)
@given(training=TEXTS, texts=TEXTS, part=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_texts_within_a_document_are_found(
    training: list[str], texts: list[str], part: tuple[int, int]
):
    texts = [*texts, *training, *(text[part[0] : sum(part)] for text in training)]
    with TemporaryDirectory() as folder:
        held = sorted_in(Path(folder), training, 100_000).holds(texts)
    assert held.tolist() == [any(text in document for document in training) for text in texts]


@settings(deadline=None)
@given(training=TEXTS, texts=TEXTS)
def test_a_run_is_at_its_reported_place(training: list[str], texts: list[str]):
    with TemporaryDirectory() as folder:
        suffixes = sorted_in(Path(folder), training, 100_000)
        matches = suffixes.find(texts)
        text = suffixes.text.tobytes()
    characters = "".join(texts)
    ends = np.repeat(matches.offsets[1:], np.diff(matches.offsets))
    for start, (length, place) in enumerate(zip(matches.lengths, matches.places, strict=True)):
        run = characters[start : min(start + length, ends[start])].encode()
        assert text[place : place + len(run)] == run


def test_no_run_spans_two_documents(tmp_path: Path):
    matches = sorted_in(tmp_path, ["the end", "of it"]).find(["the endof it", "the end\nof it"])
    assert matches.longest.tolist() == [7, 7]


def test_long_copies_are_measured_in_full(tmp_path: Path):
    long = "".join(chr(97 + n * n % 26) + str(n) for n in range(2000))
    matches = sorted_in(tmp_path, ["x" * 50, long], 100_000).find([f"!{long[7:5000]}!", "x" * 70])
    assert matches.longest.tolist() == [4993, 50]


def test_only_the_first_bytes_are_searched(tmp_path: Path):
    suffixes = sorted_in(tmp_path, ["abcdef", "ghijkl", "mnopqr"], most_bytes=9)
    assert suffixes.find(["abcdef", "ghi", "ghij", "mnop"]).longest.tolist() == [6, 3, 3, 0]
