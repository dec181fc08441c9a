import re
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.audit import identifiers
from rnnlm.audit.identifier_index import TrainingIdentifiers, open_identifiers, write_identifiers
from rnnlm.audit.words import Vocabulary, words_in

DICTIONARY = frozenset(["the", "number", "of", "is", "then", "saw", "and", "called"])


def index_of(texts: list[str], folder: Path) -> TrainingIdentifiers:
    counts = Counter(word for text in texts for word in words_in(text))
    write_identifiers(folder, texts, Vocabulary(counts, DICTIONARY))
    return open_identifiers(folder)


digits = st.text("12", min_size=7, max_size=9)
rows = st.lists(st.text("12 -x\n", max_size=40), max_size=6)


@given(st.lists(digits, max_size=5), rows)
def test_a_number_is_found_wherever_its_digits_are(
    tmp_path_factory, numbers: list[str], texts: list[str]
):
    index = index_of([f"x{number}x" for number in numbers], tmp_path_factory.mktemp("i"))
    total, found = index.find_numbers(texts)
    expected, there = set(), 0
    for place, text in enumerate(texts):
        for row in re.findall(r"[12](?:[ -]?[12]){6,}", text):
            there += 1
            plain = re.sub("[ -]", "", row)
            expected |= {place} if any(number in plain for number in numbers) else set()
    assert (total, {match.text for match in found}) == (there, expected)
    for match in found:
        assert match.shown in numbers
        assert match.trained == numbers.count(match.shown)
    assert np.flatnonzero(index.has_copied(texts)).tolist() == sorted(expected)


def test_longer_matches_hide_those_within_them_but_not_others(tmp_path: Path):
    index = index_of(["a 1234567", "b 123456789", "c 7654321"], tmp_path)
    total, found = index.find_numbers(["1234 56789-7654321 1234567"])
    assert total == 1
    assert sorted(match.shown for match in found) == ["1234567", "123456789", "7654321"]


def test_numbers_written_in_other_groups_are_the_same(tmp_path: Path):
    index = index_of(["card 4929 1234 5678 9012", "4929-1234-5678-9012"], tmp_path)
    for text in ("4929123456789012", "no 49 29 1234 5678 9012 7", "4929\u00a01234 5678‑9012"):
        _, (match,) = index.find_numbers([text])
        assert match.trained == 2
    assert index.find_numbers(["4929 1234 5678 9013", "4929 1234 5678"]) == (2, [])


def test_tables_of_digits_are_not_numbers_but_their_long_groups_are(tmp_path: Path):
    index = index_of(["1 " * 30 + "1234567 " + "1 " * 30], tmp_path)
    assert len(index.find_numbers(["x 1234567", "1 1 1 1 1 1 1 1"])[1]) == 1


def test_addresses_are_found_within_longer_ones(tmp_path: Path):
    index = index_of(["from joe@example.org", "ann@example.org"], tmp_path)
    known = ["Joe@Example.org!", "x.joe@example.org.uk", "ajoe@example.orgs", "joe@example.org5"]
    other = ["jo@example.org", "joe@example.com", "joe@example.or"]
    total, found = index.find_addresses([*known, *other])
    assert total == 7
    assert [(match.text, match.shown) for match in found] == [
        (place, "joe@example.org") for place in range(4)
    ]


address = st.from_regex(r"[ab.]{1,4}@[ab.]{0,3}[ab]\.[ab]{2,4}", fullmatch=True)


@given(
    st.lists(address, min_size=1, max_size=4), st.lists(st.text("ab.@ 5", max_size=30), max_size=6)
)
def test_an_address_is_found_wherever_its_characters_are(
    tmp_path_factory, known: list[str], texts: list[str]
):
    there = [found for one in known for _, found in identifiers.addresses(one)]
    texts = [*texts, *(f"a{one}b" for one in known)]
    index = index_of(known, tmp_path_factory.mktemp("i"))
    expected = [n for n, text in enumerate(texts) if any(one in text for one in there)]
    assert np.flatnonzero(index.has_copied(texts)).tolist() == expected


def test_rare_names_are_counted(tmp_path: Path):
    often = ["Kovira called Tamen"] * 5
    index = index_of([*often, "Then Zorbax Pim saw Zorbax and Kovira Lum"], tmp_path)
    assert index.count_names(["Zorbax", "ZORBAX’s", "zorbax"]) == 2
    assert index.count_names(["Then Kovira saw Tamen"]) == 0  # both are frequent
    assert index.count_names(["Zorbax Pim", "Kovira Lum and Kovira Pim"]) == 3
    assert index.count_names(["Then The Number"]) == 0


def test_an_empty_training_text_discloses_nothing(tmp_path: Path):
    index = index_of([], tmp_path)
    assert index.find_numbers(["1234567"]) == (1, [])
    assert index.find_addresses(["a@b.de"]) == (1, [])
    assert index.count_names(["Zorbax"]) == 0
    assert index.has_copied([]).tolist() == []
