import json

import pytest

from rnnlm.corpora.formats import (
    Fault,
    comma_separated,
    json_lines,
    json_values,
    markdown_recipe,
    meal_master,
)
from tests.corpora.samples import MARKDOWN, VERSION_7, VERSION_8


def test_json_lines_are_read_and_a_bad_one_is_reported_by_line():
    found = [*json_lines('{"text": "a"}\n\n"b"\n{"text": \n[1]\n')]
    assert found[:2] == [{"text": "a"}, {"text": "b"}]
    assert [(fault.reason, fault.line) for fault in found[2:] if isinstance(fault, Fault)] == [
        ("no JSON", 4),
        ("no object", 5),
    ]


@pytest.mark.parametrize(
    ("value", "records"),
    [
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ({"x": {"a": 1}, "y": {"a": 2}}, [{"key": "x", "a": 1}, {"key": "y", "a": 2}]),
        ({"a": 1}, [{"a": 1}]),
        (["one", "two"], [{"text": "one"}, {"text": "two"}]),
    ],
)
def test_json_may_be_a_list_a_mapping_or_one_object(value: object, records: list[object]):
    assert [*json_values(json.dumps(value))] == records


def test_broken_or_very_deeply_nested_json_is_a_fault():
    for content in ('[{"a": 1},\n{"a"', "[" * 100_000):
        (fault,) = json_values(content)
        assert isinstance(fault, Fault)
        assert fault.reason == "no JSON"


def test_csv_keeps_quoted_line_ends_and_reports_rows_of_another_length():
    content = 'name;text\nA;"one\ntwo; three"\nB\nC;x\n'
    found = [*comma_separated(content)]
    assert found[0] == {"name": "A", "text": "one\ntwo; three"}
    assert isinstance(found[1], Fault)
    assert (found[1].reason, found[1].line) == ("row of another length", 4)
    assert found[2] == {"name": "C", "text": "x"}


def test_an_export_yields_recipes_and_a_truncated_one_is_a_fault_with_its_line():
    found = [*meal_master(VERSION_7 + "\n" + VERSION_8[:-20])]
    assert found[0]["recipe"].title == "Beet Soup"
    assert isinstance(found[1], Fault)
    assert "breaks off" in found[1].detail
    assert found[1].line == VERSION_7.count("\n") + 2
    assert isinstance(next(meal_master("no recipe at all")), Fault)


def test_a_markdown_recipe_is_read_by_its_headings():
    (record,) = markdown_recipe(MARKDOWN)
    assert record["title"] == "Spaghetti aglio e olio"
    assert record["servings"] == "4"
    assert record["ingredients"][-2:] == ["# Sauce", "½ cup olive oil"]
    assert record["directions"] == ["Start cooking the pasta.", "Mix."]


def test_markdown_without_a_yield_has_none():
    (record,) = markdown_recipe(MARKDOWN.replace("Servings: 4", "Difficulty: none"))
    assert "servings" not in record


def test_front_matter_that_is_invalid_yaml_is_a_fault():
    (fault,) = markdown_recipe("---\ntitle: [\n---\n# Soup\n")
    assert isinstance(fault, Fault)
