import re

import pytest
import torch

from rnnlm import dataset
from rnnlm.errors import ConfigError
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.training import fitting
from tests.conftest import tiny_experiment

TOKENIZER = CharacterTokenizer("abc")
TRAIN = dataset.from_texts(TOKENIZER, ["abc" * 300])
CPU = torch.device("cpu")


def test_a_model_that_cannot_fit_is_refused_before_it_is_built():
    experiment = tiny_experiment(model={"hidden_size": 16_384, "num_layers": 32})
    with pytest.raises(ConfigError, match=r"needs about \d+\.\d GB and \d+\.\d GB are free"):
        fitting.check_memory(experiment, 5, TRAIN, CPU)


def test_the_suggested_batch_size_fits(monkeypatch: pytest.MonkeyPatch):
    experiment = tiny_experiment(training={"batch_size": 4096})
    there = fitting.training_bytes(experiment, 5, 901, CPU) // 7
    monkeypatch.setattr(fitting, "_available", lambda device: there)
    with pytest.raises(ConfigError) as caught:
        fitting.check_memory(experiment, 5, TRAIN, CPU)
    said = re.search(r"training\.batch_size = (\d+) would fit", str(caught.value))
    assert said
    assert 256 <= int(said[1]) < 4096
    smaller = tiny_experiment(training={"batch_size": int(said[1])})
    fitting.check_memory(smaller, 5, TRAIN, CPU)


def test_the_suggested_size_of_a_tied_model_keeps_it_tied(monkeypatch: pytest.MonkeyPatch):
    model = {"hidden_size": 4096, "embedding_size": 4096, "tie_weights": True}
    training = {"batch_size": 1, "feed": "stream"}
    experiment = tiny_experiment(model=model, training=training)
    monkeypatch.setattr(fitting, "_available", lambda device: 10_000_000)
    with pytest.raises(
        ConfigError, match=r"model\.hidden_size = model\.embedding_size = \d+ would fit"
    ) as caught:
        fitting.check_memory(experiment, 5, TRAIN, CPU)
    size = int(str(caught.value).split(" = ")[2].split()[0])
    model |= {"hidden_size": size, "embedding_size": size}
    fitting.check_memory(tiny_experiment(model=model, training=training), 5, TRAIN, CPU)


def test_the_estimate_grows_with_weights_batch_and_time():
    small = fitting.training_bytes(tiny_experiment(), 5, 100, CPU)
    assert fitting.training_bytes(tiny_experiment(model={"hidden_size": 64}), 5, 100, CPU) > small
    assert fitting.training_bytes(tiny_experiment(training={"batch_size": 64}), 5, 100, CPU) > small
    assert fitting.training_bytes(tiny_experiment(), 5, 1000, CPU) > small
    assert fitting.training_bytes(tiny_experiment(), 50_000, 100, CPU) > small


def test_the_estimate_counts_every_weight():
    experiment = tiny_experiment(training={"batch_size": 1, "feed": "stream", "bptt": 1})
    parameters = build(experiment.model, 5).parameter_count
    assert fitting.training_bytes(experiment, 5, 1, CPU) >= 16 * parameters
