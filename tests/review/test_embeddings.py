import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnlm import checkpoint, dataset
from rnnlm.charts import DARK, LIGHT
from rnnlm.models.stack import StackedLanguageModel
from rnnlm.review.embeddings import KINDS, draw_embeddings, kind_of, project_embeddings, visible
from tests.review.conftest import Made


def test_the_projection_keeps_distances_of_embeddings_in_a_plane(made: Made):
    loaded = checkpoint.load(Path(made.model.checkpoint))
    model = loaded.model
    assert isinstance(model, StackedLanguageModel)
    vocab, size = model.embedding.weight.shape
    plane, _ = torch.linalg.qr(torch.randn(size, 2))
    places = torch.randn(vocab, 2) * torch.tensor([3.0, 1.0])
    model.embedding.weight.data = places @ plane.t() + 5.0
    arrays = dataset.load_split(made.tokens_uri, "test")
    projection = project_embeddings(model, loaded.tokenizer, arrays)
    assert projection is not None
    counts = np.bincount(arrays.tokens, minlength=vocab)
    chosen = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    assert len(projection.names) == len(chosen)
    true = places[chosen].numpy()
    mine = projection.places
    for a, b in [(0, 1), (2, 5), (3, 4)]:
        apart = np.linalg.norm(true[a] - true[b])
        assert np.linalg.norm(mine[a] - mine[b]) == pytest.approx(apart, rel=1e-3)
    assert sum(projection.shares) == pytest.approx(1.0, abs=1e-4)
    assert projection.shares[0] >= projection.shares[1]


def test_pictures_are_reproducible(made: Made):
    loaded = checkpoint.load(Path(made.model.checkpoint))
    arrays = dataset.load_split(made.tokens_uri, "test")
    projection = project_embeddings(loaded.model, loaded.tokenizer, arrays)
    assert projection is not None
    one, two = draw_embeddings(projection), draw_embeddings(projection)
    assert one == two
    assert one.light.startswith(b"<?xml")


def test_the_dark_picture_has_the_dark_palette_s_colours_only(made: Made):
    loaded = checkpoint.load(Path(made.model.checkpoint))
    projection = project_embeddings(
        loaded.model, loaded.tokenizer, dataset.load_split(made.tokens_uri, "test")
    )
    assert projection is not None
    light, dark = draw_embeddings(projection)
    known = [{*palette[:-1], *palette.kinds} for palette in (LIGHT, DARK)]
    for picture, colours in zip((light, dark), known, strict=True):
        used = {*re.findall(r"#[0-9a-f]{6}", picture.decode())}
        assert len(used) > 5
        assert used <= colours


def test_names_that_a_font_lacks_or_that_look_like_formulas_are_drawn(made: Made):
    loaded = checkpoint.load(Path(made.model.checkpoint))
    arrays = dataset.load_split(made.tokens_uri, "test")
    projection = project_embeddings(loaded.model, loaded.tokenizer, arrays)
    assert projection is not None
    names = ("$x^$", "日", "\U0001f3a8", *projection.names[3:])
    draw_embeddings(projection._replace(names=names))


def test_n_grams_have_no_embeddings(made: Made):
    loaded = checkpoint.load(Path(made.ngrams.checkpoint))
    arrays = dataset.load_split(made.tokens_uri, "test")
    assert project_embeddings(loaded.model, loaded.tokenizer, arrays) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a", "vowels"),
        ("é", "vowels"),
        ("k", "consonants"),
        ("Q", "capitals"),
        ("7", "digits"),
        ("—", "punctuation"),
        (" ", "spaces, line ends, special"),
        ("\n", "spaces, line ends, special"),
    ],
)
def test_characters_have_kinds(name: str, kind: str):
    assert KINDS[kind_of(name)] == kind


def test_invisible_characters_are_made_visible():
    assert visible(" the\n\t\x01") == "␣the↵⇥\\x01"
    assert len(visible("a" * 100)) < 20
