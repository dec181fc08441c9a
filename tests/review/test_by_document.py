import numpy as np
import pytest

from rnnlm.evaluation.comparison import TextNats
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.review.by_document import draw_documents, pair


def nats_of(documents: list[float], pieces: list[float] | None = None) -> TextNats:
    parts = np.array(pieces or documents)
    characters = np.full(len(documents), 10)
    return TextNats(np.array(documents), characters, parts, np.full(len(parts), 10))


def test_differences_are_bits_per_character():
    pairs = pair(nats_of([10.0] * 30), nats_of([20.0] * 30))
    assert pairs.unit == "documents"
    assert pairs.gains == pytest.approx(1.0 / NATS_PER_BIT)
    assert pairs.better_share == 1.0
    assert pairs.quantiles()[2][1] == pytest.approx([1.0 / NATS_PER_BIT] * 5)


def test_pieces_replace_documents_if_there_are_few():
    pairs = pair(nats_of([10.0], [5.0, 5.0]), nats_of([20.0], [9.0, 11.0]))
    assert pairs.unit.startswith("pieces")
    assert len(pairs.gains) == 2


@pytest.mark.parametrize("documents", [[*range(5000)], [0.0, 1e6] * 20, [3.0, 4.0]])
def test_any_scores_can_be_drawn(documents: list[float]):
    assert draw_documents(pair(nats_of(documents), nats_of(documents[::-1]))).light


def test_equal_scores_can_be_drawn():
    assert draw_documents(pair(nats_of([1.0] * 25), nats_of([1.0] * 25))).dark
