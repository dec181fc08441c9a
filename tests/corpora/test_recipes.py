"""Test recipes: MealMaster exports are parsed, and rendered recipes parse back unchanged."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnlm.corpora.recipes import (
    BrokenRecipeError,
    Ingredient,
    Recipe,
    Section,
    parse,
    render,
    split_export,
)
from tests.corpora.samples import VERSION_7, VERSION_8


def ingredients(recipe: Recipe) -> list[tuple[str, str, str]]:
    return [(i.quantity, i.unit, i.name) for s in recipe.sections for i in s.ingredients]


def test_version_7_is_read_down_the_left_column_first_and_broken_ingredients_are_joined():
    recipe = parse(VERSION_7)
    assert recipe.title == "Beet Soup"
    assert recipe.categories == ("Soups", "Russian")
    assert recipe.servings == "8 servings"
    assert ingredients(recipe) == [
        ("2 1/2", "lb", "Beef rump, sirloin tip, OR round bone chuck"),
        ("1", "c", "Navy beans, dry"),
        ("3", "", "Potatoes, cut into eighths"),
        ("", "", "Salt"),
        ("1", "cn", "(1 lb 13 oz) tomatoes"),
        ("5", "tb", "Flour"),
    ]
    assert [section.heading for section in recipe.sections] == ["", "GRAVY"]
    assert recipe.directions == (
        "Cover beans with water and allow to soak overnight; cook until tender; drain; set aside.",
        "Serve hot.",
    )


def test_version_8_marks_continued_ingredients_and_states_a_yield():
    recipe = parse(VERSION_8)
    assert recipe.servings == "6 servings"
    assert ingredients(recipe) == [
        ("2", "c", "Flour, sifted twice and set aside until needed"),
        ("1", "pn", "Salt"),
    ]
    assert recipe.sections[0].heading == "DOUGH"


def test_a_missing_yield_stays_missing():
    without = "\n".join(line for line in VERSION_7.split("\n") if "Servings" not in line)
    recipe = parse(without)
    assert recipe.servings == ""
    assert "Yield" not in render(recipe)
    assert parse(render(recipe)) == recipe


def test_the_recipes_of_an_export_are_separated():
    export = f"A note before.\n{VERSION_7}\nsome mail header\n{VERSION_8}\n"
    assert [parse(part).title for part in split_export(export)] == ["Beet Soup", "Bread"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VERSION_7[:-40], "breaks off"),
        (VERSION_7.replace("Title:", "Tilte:"), "without `Title:`"),
        ("      Title: Nothing\n", "neither ingredients nor directions"),
        ("", "without `Title:`"),
    ],
)
def test_an_incomplete_recipe_is_refused(text: str, message: str):
    with pytest.raises(BrokenRecipeError, match=message):
        parse(text)


def squeeze(text: str) -> str:
    return " ".join(text.split())


word = st.text("abcdefghijklmnopqrstuvwxyzäöß,.()/'0123456789", min_size=1, max_size=35)
phrase = st.lists(word, min_size=1, max_size=25).map(" ".join)
name = phrase.map(lambda text: f"x{text}")
quantity = st.sampled_from(["", "1", "1/2", "2 1/2", "3-4", "100"])
ingredient = st.builds(Ingredient, quantity, st.sampled_from(["", "c", "tb", "lb"]), name)
heading = st.text("ABCDEFGHIJ ", min_size=1, max_size=30).map(squeeze).filter(bool)
first = st.builds(Section, st.just(""), st.lists(ingredient, min_size=1, max_size=8).map(tuple))
later = st.builds(Section, heading, st.lists(ingredient, min_size=1, max_size=8).map(tuple))
category = st.text("abcdefgh ", min_size=1, max_size=12).map(squeeze).filter(bool)
recipes = st.builds(
    Recipe,
    title=phrase,
    categories=st.lists(category, max_size=4, unique=True).map(tuple),
    servings=st.sampled_from(["", "4 servings", "24 (40 pieces)"]),
    sections=st.tuples(first, st.lists(later, max_size=2).map(tuple)).map(
        lambda both: (both[0], *both[1])
    ),
    directions=st.lists(name, min_size=1, max_size=4).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(recipes)
def test_a_rendered_recipe_parses_back_to_itself(recipe: Recipe):
    text = render(recipe)
    assert parse(text) == recipe
    assert render(parse(text)) == text


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(recipes)
def test_columns_are_aligned_and_no_line_has_trailing_space(recipe: Recipe):
    lines = render(recipe).split("\n")
    assert all(line == line.rstrip() for line in lines)
    shown = [f"{i.quantity:>7} {i.unit:<2} " for s in recipe.sections for i in s.ingredients]
    found = [line[:11] for line in lines if line[:11] in shown and line[11:12] not in ("", "-")]
    assert len(found) >= len(shown)


NOW_YOURE_COOKING = """MMMMM----- Now You're Cooking! v5.33 [Meal-Master Export Format]

      Title: Apple Crisp
 Categories: desserts, fruit
      Yield: 6 servings
     Source: A neighbour

  Old and good.

      4 c  apples; sliced
    1/2 c  brown sugar

  Mix all. Bake at 375°F for 30 minutes.

MMMMM------------------------------SAUCE-------------------------------
  Stir and serve.

MMMMM
"""


def test_other_headers_and_notes_before_the_ingredients_become_directions():
    recipe = parse(NOW_YOURE_COOKING)
    assert (recipe.title, recipe.servings) == ("Apple Crisp", "6 servings")
    assert ingredients(recipe) == [("4", "c", "apples; sliced"), ("1/2", "c", "brown sugar")]
    assert recipe.directions == (
        "Source: A neighbour",
        "Old and good.",
        "Mix all. Bake at 375°F for 30 minutes.",
        "SAUCE:",
        "Stir and serve.",
    )
    assert parse(render(recipe)) == recipe


def test_ingredients_without_columns_are_read_by_their_units():
    text = "\n".join(["Title: Stew", "", "2 tb vinegar", "1 1/2 lb sausage", "", "Mix, then roll."])
    recipe = parse(text)
    assert ingredients(recipe) == [("2", "tb", "vinegar"), ("1 1/2", "lb", "sausage")]
    assert recipe.directions == ("Mix, then roll.",)
