"""Test the names that MLflow's experiments and metrics are given."""

import pytest

from flows.tracking.connecting import data_sets_of, metrics_of, model_of
from rnnlm.config import from_values
from rnnlm.errors import ConfigError


@pytest.mark.parametrize("name", ["tiny", "data", "sets", "a-b.c_d"])
def test_the_experiment_of_data_sets_names_its_model_and_no_other_model(name: str):
    assert model_of(data_sets_of(name)) == model_of(name) == name
    with pytest.raises(ConfigError, match="name"):
        from_values({"name": data_sets_of(name), "corpus": {"source": "x"}}, origin="test")


def test_a_row_of_the_history_becomes_curves_by_step_and_by_tokens():
    row = {"step": 3, "tokens": 90, "seconds": 1.0, "train/bits_per_character": 2.5}
    points = {(m.key, m.value, m.step) for m in metrics_of(row)}
    assert points == {
        ("by_step/train_bits_per_character", 2.5, 3),
        ("by_step/train_tokens", 90, 3),
        ("by_tokens/train_bits_per_character", 2.5, 90),
    }
