from pathlib import Path

import pytest

from rnnlm.bases import fitting
from rnnlm.errors import CheckpointError, ConfigError
from tests.bases.conftest import NETWORK, experiment


def test_settings_that_an_experiment_leaves_open_come_from_the_base(saved: Path):
    chosen = experiment(training={"base": str(saved)}, model={"dropout": 0.3})
    fitted = fitting.fit(chosen, saved)
    assert {name: getattr(fitted.model, name) for name in NETWORK} == NETWORK
    assert fitted.model.dropout == 0.3
    assert fitted.tokenizer.kind == "base"
    assert fitting.fit(fitted, saved) == fitted


def test_a_tokenizer_that_is_set_is_kept(saved: Path):
    chosen = experiment(training={"base": str(saved)}, tokenizer={"kind": "character"})
    assert fitting.fit(chosen, saved).tokenizer.kind == "character"


def test_a_network_that_differs_from_the_base_is_refused(saved: Path):
    chosen = experiment(training={"base": str(saved)}, model={"hidden_size": 24})
    with pytest.raises(CheckpointError, match=r"hidden_size = 24, but the base .* has 12; leave"):
        fitting.fit(chosen, saved)


def test_the_tokenizer_of_a_base_needs_a_base():
    with pytest.raises(ConfigError, match=r"needs training.base, such as 'english'"):
        experiment(tokenizer={"kind": "base"})
