import pytest

from rnnlm.audit.copies import fingerprint, hashes
from tests.audit.conftest import story


def test_hashes_never_change():
    assert hashes(["dark teal", "", "é"]).tolist() == [
        2774844085976865396,
        1760245841805064774,
        16908809132758853863,
    ]
    assert hashes([]).shape == (0,)


def test_a_copied_text_is_found_and_a_new_one_is_not(colors):
    reference, training = colors
    name = training[3].rsplit(" ", 3)[0]
    texts = [training[3], f"{name.upper()} 9 9 9", f"{name}x 1 2 3", "never seen 1 2 3"]
    assert reference.copies(texts).tolist() == [True, True, False, False]
    assert reference.copies(training).all()
    assert reference.copies([]).tolist() == []


@pytest.mark.parametrize("near", ["Teal-dark", "DARK, teal!", "dàrk teals", "dark dark teal"])
def test_the_same_words_have_the_same_fingerprint(near: str):
    assert fingerprint(near) == fingerprint("dark teal")


def test_other_words_have_other_fingerprints():
    assert len({*map(fingerprint, ["dark teal", "dark teal sky", "dark seal", "?", "!", ""])}) == 6


def test_short_near_copies_are_found_by_their_words(colors):
    reference, training = colors
    first, second = next(t for t in training if t.split()[0] != t.split()[1]).split()[:2]
    near = reference.training.nearly_has([f"{second.title()}-{first}", f"{first} {second} sun"])
    assert near.tolist() == [True, False]


def test_long_near_copies_are_found_by_their_word_sequences(stories):
    reference, training = stories
    copied = training[5].split()
    half = " ".join(copied[:30]) + " " + story(999, 30)
    copied[30] = "xyz"
    texts = [" ".join(copied), half, story(998), training[7]]
    assert min(map(len, texts)) >= 200
    assert reference.training.nearly_has(texts).tolist() == [True, False, False, True]
