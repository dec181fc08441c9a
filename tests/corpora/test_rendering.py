import pytest

from rnnlm.corpora.formats import markdown_recipe, meal_master
from rnnlm.corpora.recipes import parse
from rnnlm.corpora.rendering import (
    UnusableRecordError,
    attribute,
    field_names,
    ingredient,
    plain,
    render,
    rgb,
)
from tests.corpora.samples import MARKDOWN, VERSION_7, VERSION_8


@pytest.mark.parametrize(
    ("written", "color"),
    [
        ("#f9ecfc", (249, 236, 252)),
        (" #FBF8F4", (251, 248, 244)),
        ("C9709E", (201, 112, 158)),
        ("#fff", (255, 255, 255)),
        ("rgb(241, 157, 183)", (241, 157, 183)),
        ("241 157 183", (241, 157, 183)),
    ],
)
def test_every_notation_of_a_colour_is_read(written: str, color: tuple[int, int, int]):
    assert rgb(written) == color
    shown = " ".join(map(str, color))
    assert render("color", {"name": " Dusk  Pink ", "hex": written}, {}) == f"Dusk Pink {shown}"


@pytest.mark.parametrize("written", ["#B39A7C", "b39a7c", "rgb(179, 154, 124)"])
def test_color_both_renders_two_lines_that_agree(written: str):
    text = render("color-both", {"name": "warm  sand", "hex": written}, {})
    assert text.split("\n") == ["warm sand 179 154 124", "#b39a7c warm sand"]
    first, second = text.split("\n")
    code, _, name = second.partition(" ")
    assert first == f"{name} {' '.join(map(str, rgb(code)))}"


def test_a_name_that_looks_like_a_code_is_refused():
    record = {"name": "#1 Fan", "hex": "#010203"}
    assert render("color", record, {}) == "#1 Fan 1 2 3"
    with pytest.raises(UnusableRecordError, match="begins with #"):
        render("color-both", record, {})


@pytest.mark.parametrize("written", ["", "#ff", "rgb(1,2)", "300 1 1", "red"])
def test_an_invalid_colour_is_refused(written: str):
    with pytest.raises(UnusableRecordError, match="neither #rrggbb"):
        rgb(written)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("1 ½ lemons, juiced", ("1 1/2", "", "lemons, juiced")),
        ("1½ cups milk", ("1 1/2", "c", "milk")),
        ("¼ cup () skim milk", ("1/4", "c", "skim milk")),
        ("2–3 tablespoons of oil", ("2-3", "tb", "oil")),
        ("250 g flour", ("250", "g", "flour")),
        ("10% cream", ("", "", "10% cream")),
        ("Salt to taste", ("", "", "Salt to taste")),
        ("1&frac12; tsp. salt", ("1 1/2", "ts", "salt")),
        ("1/2-1 1/2 cups rice", ("", "", "1/2-1 1/2 cups rice")),
    ],
)
def test_ingredients_are_split_into_quantity_unit_and_name(line: str, parts: tuple[str, str, str]):
    found = ingredient(line)
    assert (found.quantity, found.unit, found.name) == parts


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("Mix in the M&amp;Ms.<ref name='x'>a book</ref>", "Mix in the M&Ms."),
        ("[[Cookbook:Onion|onion]], '''finely''' chopped", "onion, finely chopped"),
        ("see [how](https://a.b/c) {{note", "see how"),
        ("heat to (), or () for more", "heat to, or for more"),
        ("a 🍋 lemon️", "a lemon"),
        ("* water , cold", "water, cold"),
        ("snake_case stays", "snake_case stays"),
    ],
)
def test_markup_and_its_leftovers_are_removed(dirty: str, clean: str):
    if "snake" in dirty:
        assert plain("2 * 3") == "2 * 3"
    else:
        assert plain(dirty) == clean


def test_a_markdown_recipe_becomes_mealmaster_text():
    (record,) = markdown_recipe(MARKDOWN)
    text = render("recipe", record, {})
    assert text.split("\n\n") == [
        "      Title: Spaghetti aglio e olio\n Categories: Italian, Pasta\n      Yield: 4 servings",
        "      1 lb (500g) spaghetti\n    5-6    cloves of garlic",
        "-----Sauce-----\n    1/2 c  olive oil",
        "  Start cooking the pasta.",
        "  Mix.",
    ]
    assert parse(text).servings == "4 servings"


def test_templates_also_read_fields_under_other_names():
    record = {"title": "A", "body": ["x", "y"], "n": 3}
    assert render("{title}: {body} {n}", record, {}) == "A: x\ny 3"
    assert render("{name}", record, {"name": "title"}) == "A"
    assert field_names("{title}: {body}") == ("title", "body")


def test_the_category_of_a_recipe_is_the_first_in_its_text():
    (markdown,) = markdown_recipe(MARKDOWN)
    soup, bread = (record for text in (VERSION_7, VERSION_8) for record in meal_master(text))
    found = [attribute("recipe", record, "category", {}) for record in (markdown, soup, bread)]
    assert found == ["Italian", "Soups", ""]
    json = {"category": "Soup recipes", "title": "Borscht"}
    assert attribute("recipe", json, "category", {"categories": "category"}) == "Soup"
    assert attribute("recipe", json, "title", {}) == "Borscht"


def test_an_attribute_is_the_value_of_its_field_or_empty():
    assert attribute("{text}", {"year": 1790}, "year", {}) == "1790"
    assert attribute("{text}", {"vendor": "Behr"}, "brand", {"brand": "vendor"}) == "Behr"
    assert attribute("{text}", {"brand": None}, "brand", {}) == ""
    assert attribute("{text}", {}, "category", {}) == ""


def test_the_error_for_a_missing_field_names_the_others():
    with pytest.raises(UnusableRecordError, match=r"no field `text` \(the record has: body, title"):
        render("{text}", {"title": "A", "body": "B"}, {})
    with pytest.raises(UnusableRecordError, match="without title and directions"):
        render("recipe", {"title": "", "ingredients": ["x"], "directions": []}, {})
