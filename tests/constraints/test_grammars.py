import string

import numpy as np
import pytest

from rnnlm.constraints import compile_constraints
from rnnlm.constraints.acceptors import matching
from rnnlm.constraints.grammars import COLOR, GRAMMARS, RECIPE
from rnnlm.corpora import recipes
from rnnlm.corpora.forms import is_valid
from rnnlm.corpora.recipes import Ingredient, Recipe, Section
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer, Tokenizer
from tests.constraints.test_acceptors import may_end
from tests.constraints.walking import sample

CHARACTERS = CharacterTokenizer(string.printable + "éÄ½—\xa0\u2028\x1c\x85")


@pytest.mark.parametrize("tokenizer", [CHARACTERS, ByteTokenizer()], ids=["character", "byte"])
@pytest.mark.parametrize("grammar", GRAMMARS)
def test_every_text_of_a_named_grammar_is_valid(grammar: str, tokenizer: Tokenizer):
    automaton = compile_constraints(tokenizer, grammar=grammar, max_length=80)
    assert automaton
    rng = np.random.default_rng(1)
    for length in [automaton.distance[0], *rng.integers(40, 400, 150)]:
        text = tokenizer.decode(sample(automaton, rng, int(length)))
        assert is_valid(grammar.partition("-")[0], text), text


@pytest.mark.parametrize(
    ("text", "is_color"),
    [
        ("dark teal 1 20 255", True),
        ("7 up 0 0 0", True),
        ("x 1 2 3 4", False),
        ("7up x2 1 2 3", True),
        ("teal 1 20 256", False),
        ("teal 1 2 03", False),
        (" teal 1 2 3", False),
        ("te\nal 1 2 3", False),
        ("1 2 3", False),
    ],
)
def test_colours_by_example(text: str, is_color: bool):
    assert may_end(matching(COLOR), text) is is_color


def test_a_rendered_recipe_matches_the_grammar():
    long = "very ripe tomatoes, peeled and cut into small pieces of about the same size"
    sections = (
        Section("", (Ingredient("1 1/2", "c", "flour"), Ingredient("", "", long))),
        Section("For the sauce", (Ingredient("", "", "Salt"), Ingredient("2", "tb", "Öl"))),
    )
    recipe = Recipe("Tea", ("Drinks", "Hot"), "2 servings", sections, (long + ". " + long, "Boil."))
    assert may_end(matching(RECIPE), recipes.render(recipe))
    bare = Recipe("Tea", (), "", sections[:1], ("Boil.",))
    assert may_end(matching(RECIPE), recipes.render(bare))


@pytest.mark.parametrize(
    "ingredient",
    ["           Yield: 2", "           -Salt", "      1 c  Salt ", "      1 c  " + 29 * "x"],
)
def test_a_line_that_does_not_parse_as_an_ingredient_cannot_come_first(ingredient: str):
    text = f"      Title: Tea\n\n{ingredient}\n\n  Boil."
    assert not may_end(matching(RECIPE), text)
    assert may_end(matching(RECIPE), text.replace(ingredient, "      1 c  Salt"))
