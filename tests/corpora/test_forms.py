import pytest

from rnnlm import colors
from rnnlm.corpora.forms import comparison_key, is_valid, read


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("dark teal 1 20 255", colors.Color("dark teal", 1, 20, 255)),
        ("7 up 0 0 0", colors.Color("7 up", 0, 0, 0)),
        ("teal 1 20 256", None),
        ("teal 1 20", None),
        ("1 20 30", None),
        (" teal 1 2 3", None),
        ("teal 1 2 3 ", None),
        ("teal 1 2 0003", None),
        ("teal -1 2 3", None),
    ],
)
def test_only_valid_colour_lines_parse(text: str, color: colors.Color | None):
    assert colors.parse(text) == color
    assert is_valid("color", text) is (color is not None)


def test_colours_are_compared_by_name_ignoring_case():
    assert comparison_key("color", "Dark  Teal 1 2 3") == comparison_key("color", "dark teal 9 9 9")
    assert comparison_key("text", "Dark  Teal 1 2 3") == "dark teal 1 2 3"


def test_a_recipe_is_valid_if_it_parses():
    text = "      Title: Tea\n\n      1 c  water\n\n  Boil."
    assert is_valid("recipe", text)
    assert not is_valid("recipe", text.replace("Title", "Tilte"))
    assert not is_valid("recipe", "      Title: Nothing\n\n  Wait.")


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("He left.", True),
        ("“He left!”  \n", True),
        ("(Did he? [No…])", True),
        ("*Gone.*", True),
        ("He left", False),
        ("He left,”", False),
        ("Chapter One:", False),
        ("“”", False),
        (" ", False),
        ("", False),
    ],
)
def test_prose_is_valid_if_it_ends_with_a_sentence(text: str, valid: bool):
    assert is_valid("prose", text) is valid


@pytest.mark.parametrize("form", ["text", "prose", "color", "recipe"])
@pytest.mark.parametrize("text", ["teal 1 2 3", "teal 1 2 999", "Teal.", ""])
def test_a_single_reading_agrees_with_the_separate_functions(form: str, text: str):
    reading = read(form, text)
    assert reading.is_valid == is_valid(form, text)
    assert " ".join(reading.subject.lower().split()) == comparison_key(form, text)
    assert reading.color == (colors.parse(text) if form == "color" else None)
