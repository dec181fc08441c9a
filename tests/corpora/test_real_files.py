"""Test that real corpora are read as their READMEs describe them, without any settings."""

import os
from pathlib import Path

import pytest

from rnnlm.autoconfig import advise

CORPORA = os.environ.get("RNNLM_CORPORA", "")
pytestmark = pytest.mark.skipif(
    not CORPORA, reason="RNNLM_CORPORA is not set to a folder of real corpora"
)


@pytest.mark.parametrize(
    ("path", "encoding", "documents", "form"),
    [
        ("colors/behr.json", "utf-8", "whole", "color"),
        ("colors/farrow-ball.json", "utf-8", "whole", "color"),
        ("recipes/mealmaster-0222-1.TXT", "cp437", "whole", "recipe"),
        ("recipes/wikibooks.json", "utf-8", "whole", "recipe"),
        ("languages/genesis-finnish.txt", "cp1252", "passages", "text"),
        ("languages/genesis-french.txt", "cp1252", "lines", "text"),
        ("languages/genesis-german.txt", "cp1252", "lines", "text"),
        ("languages/genesis-portuguese.txt", "utf-8", "lines", "text"),
        ("languages/genesis-swedish.txt", "cp437", "passages", "text"),
        ("lists/menu-items.txt", "utf-8", "lines", "text"),
        ("lists/occupations.txt", "utf-8", "lines", "text"),
        ("lists/plants.txt", "utf-8", "lines", "text"),
        ("lists/proverbs.txt", "utf-8", "lines", "text"),
        ("lists/tv-shows.txt", "utf-8", "lines", "text"),
        ("benchmarks/names.txt", "utf-8", "lines", "text"),
        ("benchmarks/tinyshakespeare.txt", "utf-8", "passages", "text"),
        ("benchmarks/wikitext-2", "utf-8", "passages", "text"),
        ("novels/alice_in_wonderland.txt", "utf-8", "passages", "text"),
        ("novels/medieval_legends.txt", "utf-8", "passages", "text"),
        ("books/tale_two_cities.txt", "utf-8", "passages", "text"),
        ("speeches/obama.txt", "utf-8", "passages", "text"),
    ],
)
def test_a_corpus_is_recognised_without_settings(
    tmp_path: Path, path: str, encoding: str, documents: str, form: str
):
    advice = advise(str(Path(CORPORA) / path), tmp_path, ("training.base=none",))
    choices = {choice.setting: choice.value for choice in advice.choices}
    assert choices["encoding"].startswith(encoding)
    assert choices["documents"] == documents
    assert advice.experiment.corpus.form == form
    assert (advice.experiment.splits.by == "source") == path.endswith("wikitext-2")
