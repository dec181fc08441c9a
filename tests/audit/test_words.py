"""Test which words count as existing: those in the training text or in a dictionary."""

from pathlib import Path

import numpy as np
import pytest

from rnnlm.audit.words import dictionary, open_words, words_in, write_words


def test_words_are_runs_of_letters_in_lower_case():
    text = "Don’t say: 42 Fire-flowers, élan!"
    assert words_in(text) == ["don't", "say", "fire", "flowers", "élan"]


@pytest.mark.parametrize(
    ("typical", "word"),
    [("the of and house water", "bread"), ("der und das ist nicht haus", "brot")],
)
def test_the_dictionary_matches_the_language_of_the_text(typical: str, word: str):
    assert word in dictionary(typical.split())


def test_a_text_in_no_known_language_has_no_dictionary():
    assert not dictionary(["xqj", "zzv", "qqk"])
    assert not dictionary([])


def test_words_of_the_training_text_or_the_dictionary_exist(tmp_path: Path):
    write_words(tmp_path, ["Gandalf said that the houses were old", "and the water was cold"])
    words = open_words(tmp_path)
    asked = ["gandalf", "gandalf's", "bread", "the", "brxead", "'s"]
    assert words.exist(asked).tolist() == [True, True, True, True, False, False]
    assert words.count(["Gandalf’s bread.", "xqjz"]) == (2, 3)
    assert words.count([]) == (0, 0)
    texts = ["gandalf's bread", "", "bread brxead", "the", "xqjz"]
    assert words.all_exist(texts).tolist() == [True, True, False, True, False]
    assert words.all_exist([]).tolist() == []


def test_words_do_not_depend_on_the_order_of_texts(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    texts = ["the red house", "a green tree"]
    write_words(one, texts)
    write_words(other, texts[::-1])
    assert np.array_equal(np.load(one / "words.npy"), np.load(other / "words.npy"))
