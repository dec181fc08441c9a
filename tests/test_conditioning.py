import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.conditioning import header, header_column, split_column, split_header

NAMES = ("brand", "season", "year")
CONDITIONS = st.lists(st.sampled_from(NAMES), unique=True)
STRINGS = st.text(st.one_of(st.sampled_from("ab\t \n\u2003"), st.characters(codec="utf-8")))
TYPES = st.sampled_from([pa.string(), pa.large_string()])


@given(st.dictionaries(st.sampled_from(NAMES), STRINGS), CONDITIONS, STRINGS)
def test_splitting_a_header_reverses_writing_it(
    values: dict[str, str], condition: list[str], text: str
):
    found, rest = split_header(header(values, condition) + text, condition)
    assert rest == text
    assert found == {name: " ".join(values.get(name, "").split()) for name in condition}
    assert header(found, condition) + rest == header(values, condition) + text


@given(st.lists(STRINGS), CONDITIONS, TYPES, st.integers(0, 3))
def test_columns_are_split_like_single_texts(
    texts: list[str], condition: list[str], kind: pa.DataType, start: int
):
    values, rest = split_column(pa.array(texts, kind)[start:], condition)
    each = [split_header(text, condition) for text in texts[start:]]
    assert rest.type == kind
    assert rest.to_pylist() == [text for _, text in each]
    assert [*values] == condition
    for name in condition:
        assert values[name].type == kind
        assert values[name].to_pylist() == [found[name] for found, _ in each]


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, STRINGS))), CONDITIONS, TYPES)
def test_headers_of_columns_match_those_of_single_texts(
    rows: list[dict[str, str]], condition: list[str], kind: pa.DataType
):
    if condition:
        columns = {name: pa.array([row[name] for row in rows], kind) for name in NAMES}
        expected = [header(row, condition) for row in rows]
        assert header_column(columns, condition).to_pylist() == expected


def test_a_header_is_each_value_followed_by_a_tab():
    values = {"brand": " Benjamin\t Moore\n", "season": "June"}
    assert header(values, ("brand",)) == "Benjamin Moore\t"
    assert header(values, ("season", "brand")) == "June\tBenjamin Moore\t"
    assert header({}, ("brand", "season")) == "\t\t"
    assert header_column({"brand": pa.array(["Behr", None])}, ("brand",)).to_pylist() == [
        "Behr\t",
        "\t",
    ]


def test_an_empty_condition_changes_nothing():
    texts = pa.array(["a\tb", ""])
    assert header({"brand": "Behr"}, ()) == ""
    assert split_header("a\tb", ()) == ({}, "a\tb")
    assert split_column(texts, ()) == ({}, texts)
    assert split_column(texts, ())[1] is texts


@pytest.mark.parametrize(
    ("text", "values", "rest"),
    [
        ("Soups\tJune\tTomato\tsoup", ["Soups", "June"], "Tomato\tsoup"),
        ("Soups\tTomato", ["Soups", ""], "Tomato"),
        ("Tomato", ["", ""], "Tomato"),
        ("\t\t", ["", ""], ""),
        ("", ["", ""], ""),
    ],
)
def test_missing_tabs_leave_values_empty_and_the_rest_as_text(
    text: str, values: list[str], rest: str
):
    condition = ("category", "season")
    assert split_header(text, condition) == (dict(zip(condition, values, strict=True)), rest)
