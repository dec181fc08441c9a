import numpy as np
import pytest

from rnnlm.generation import selecting
from rnnlm.generation.selecting import first_ones, places_of


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "TEXTS_AT_ONCE", 7)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("texts", [0, 1, 7, 50])
def test_places_match_the_positions_of_true_flags(texts: int, share: float):
    flags = np.random.default_rng(texts).random(texts) < share
    everywhere = np.flatnonzero(flags)
    for step in (1, 3, 20):
        ordinals = np.arange(0, texts + 5, step)
        assert places_of(flags, ordinals).tolist() == everywhere[::step].tolist()


@pytest.mark.parametrize("count", [0, 1, 13, 40, 50])
def test_the_first_accepted_texts_are_kept(count: int):
    accepted = np.arange(60) % 3 != 1
    kept = first_ones(accepted, count)
    assert np.flatnonzero(kept).tolist() == np.flatnonzero(accepted)[:count].tolist()
    assert accepted.sum() == 40
