"""Test the figures that are computed from a model's texts at three temperatures."""

import pytest

from rnnlm import checkpoint
from rnnlm.audit.temperatures import TEMPERATURES, as_figures, measure_temperatures
from rnnlm.config import GenerationConfig
from rnnlm.generation.manifest import Source
from rnnlm.generation.references import reference_for
from rnnlm.review.writing import in_one_line, temperatures_in, writing_table
from tests.conftest import ingest_text, lines
from tests.generation.jobs import saved_model


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    folder = tmp_path_factory.mktemp("temperatures")
    (folder / "text").write_text(lines(200))
    corpus = ingest_text(folder / "text", folder / "corpus")
    loaded = checkpoint.load(
        saved_model(folder / "model.safetensors", "".join(sorted({*lines(200)})))
    )
    reference = reference_for(Source(uri=corpus.uri, digest=corpus.digest), "text", loaded)
    assert reference is not None
    rows = measure_temperatures(loaded, reference, GenerationConfig(prefix="x", max_length=20))
    assert [row.temperature for row in rows] == [*TEMPERATURES, None]
    return as_figures(rows)


def test_each_temperature_has_its_figures(figures: dict[str, float]):
    assert temperatures_in(figures) == [*TEMPERATURES]
    for name in ("existing_words", "copied", "nearly_copied", "repeated", "distinct_2grams"):
        for temperature in TEMPERATURES:
            assert 0.0 <= figures[f"{name}_at_{temperature:g}"] <= 1.0
    assert figures["existing_words_of_real_text"] > figures["existing_words_at_1"]
    assert "copied_of_real_text" not in figures


def test_figures_are_shown_as_a_table_and_in_one_line(figures: dict[str, float]):
    table = writing_table(figures)
    assert table.count("<tr>") == 8
    assert f"{figures['existing_words_at_0.7']:.1%}" in table
    assert in_one_line(figures).startswith("Words that exist: ")
    assert writing_table({}) == in_one_line({}) == ""
