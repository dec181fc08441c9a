import numpy as np
import pytest
import torch

from rnnlm.config import Experiment, from_values
from rnnlm.tokens import TokenArrays
from rnnlm.training import forecast
from rnnlm.training.forecast import _documents, expected_seconds, seconds_per_step


def experiment(**training: object) -> Experiment:
    values = {
        "name": "x",
        "corpus": {"source": "x"},
        "splits": {"validation": 0.1, "test": 0.1},
        "model": {"hidden_size": 16, "embedding_size": 8},
        "training": {"batch_size": 4, "bptt": 10, "device": "cpu", **training},
    }
    return from_values(values, (), origin="x")


def test_a_budget_of_time_is_its_own_estimate_and_epochs_have_none():
    assert expected_seconds(experiment(budget="90 s"), 20, 30, 100) == 90.0
    assert expected_seconds(experiment(budget="3 epochs"), 20, 30, 100) is None


@pytest.mark.parametrize("feed", ["documents", "stream"])
def test_the_estimate_counts_windows_and_validations(feed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "seconds_per_step", lambda *_: 2.0)
    one, twice = (
        expected_seconds(experiment(feed=feed, budget=budget, validations=1), 20, 30, 1000)
        for budget in ("24k tokens", "48k tokens")
    )
    assert one and twice
    full = 24_000 / (4 * (10 if feed == "stream" else 30))  # steps if all windows were full
    assert 1.0 < one / (2.0 * full) < 1.6
    scored = 2.0 * 0.1 * 30_000 / 24_000 / 3  # as a share of one; half that of twice as many
    assert 1.8 < twice / one < 2.0 < (twice / one) * (1 + scored)


def test_few_tokens_are_made_for_a_corpus_of_long_documents(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "seconds_per_step", lambda *_: 1.0)
    made = []

    def documents(vocab_size: int, length: int, count: int) -> TokenArrays:
        made.append(length * count)
        return _documents(vocab_size, 100, 1)

    monkeypatch.setattr(forecast, "_documents", documents)
    for length in (5, 400, 300_000):
        assert expected_seconds(experiment(budget="1M tokens"), 20, length, 100_000)
    assert max(made) <= forecast.MOST_TOKENS


def test_a_step_is_timed_without_changing_the_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert 0.0 < seconds_per_step(experiment(), 20, 30) < 10.0
    assert torch.equal(torch.rand(2), expected)


def test_documents_vary_around_their_length():
    arrays = _documents(50, 40, 500)
    assert abs(np.mean(arrays.lengths) - 40) < 2
    assert arrays.lengths.min() < 25 and arrays.lengths.max() > 55
    assert arrays.tokens.max() < 50
