from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm.audit import novelty
from rnnlm.audit.novelty import known_ngrams, longest_around, taken_characters
from rnnlm.audit.suffixes import Matches, open_suffixes, write_suffixes

TRAINING = ["the cat sat on the mat and looked at the dog", "a bird sang"]


def found_in_training(folder: Path, texts: list[str]) -> Matches:
    write_suffixes(TRAINING, folder)
    return open_suffixes(folder).find(texts)


def test_ngrams_of_words_are_known_as_written(tmp_path: Path):
    texts = ["the cat sat on my mat", "sang a", ""]
    known = known_ngrams(texts, found_in_training(tmp_path, texts), "word")
    # the-cat, cat-sat, sat-on are known; on-my, my-mat and sang-a are not.
    assert known == {2: (3, 6), 4: (1, 3), 8: (0, 0)}


def test_ngrams_of_characters_are_known_wherever_they_occur(tmp_path: Path):
    texts = ["at sat", "xx"]
    known = known_ngrams(texts, found_in_training(tmp_path, texts), "character")
    assert known == {4: (3, 3), 8: (0, 0), 16: (0, 0)}


def around_slowly(lengths: list[int]) -> list[int]:
    runs = [(start, start + length) for start, length in enumerate(lengths)]
    return [
        max(end - start if start <= place < end else 0 for start, end in runs)
        for place in range(len(lengths))
    ]


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=30), min_size=1, max_size=3), st.text("abc", max_size=30))
def test_a_character_is_marked_by_the_longest_run_around_it(training: list[str], text: str):
    with TemporaryDirectory() as folder:
        write_suffixes(training, Path(folder))
        lengths = open_suffixes(Path(folder)).find([text]).lengths
    assert longest_around(lengths).tolist() == around_slowly(lengths.tolist())


def test_taken_characters_are_those_in_long_runs(tmp_path: Path, monkeypatch):
    texts = ["!the cat sat!!the dog", "on the mat and"]
    matches = found_in_training(tmp_path, texts)
    monkeypatch.setattr(novelty, "RUN", 10)
    expected = sum(int((longest_around(matches.of(n)) >= 10).sum()) for n in range(2))
    assert taken_characters(matches) == expected == len("the cat sat") + len(texts[1])
    assert taken_characters(Matches(*(np.zeros(0, np.int64),) * 2, np.zeros(1, np.int64))) == 0
