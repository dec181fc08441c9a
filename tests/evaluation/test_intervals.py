import numpy as np
import pytest

from rnnlm import dataset
from rnnlm.evaluation import intervals
from rnnlm.evaluation.intervals import FEWEST_DOCUMENTS, bits_per_character_interval
from rnnlm.evaluation.results import Evaluation
from rnnlm.evaluation.scoring import PIECE_TOKENS, Pieces
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.tokenizer import CharacterTokenizer

TOKENIZER = CharacterTokenizer("ab")


def evaluation_of(lengths: list[int], seed: int) -> Evaluation:
    arrays = dataset.from_texts(TOKENIZER, ["a" * length for length in lengths])
    nats = np.random.default_rng(seed).gamma(
        4.0, 0.25, len(arrays.tokens)
    )  # mean 1, standard deviation ½
    return Pieces(arrays).of_tokens(nats)


@pytest.mark.parametrize("lengths", [[9] * 200, [PIECE_TOKENS * 60]])
def test_the_interval_contains_the_truth_about_95_times_in_100(lengths: list[int]):
    held = 0
    for seed in range(40):
        low, high = bits_per_character_interval(evaluation_of(lengths, seed))
        tokens = sum(lengths) + len(lengths)
        truth = tokens / sum(lengths) / NATS_PER_BIT
        held += low <= truth <= high
    assert held >= 33


def test_the_score_is_within_its_interval_and_more_text_narrows_it():
    small, large = evaluation_of([20] * 50, 1), evaluation_of([20] * 5000, 1)
    widths = []
    for evaluation in (small, large):
        low, high = bits_per_character_interval(evaluation)
        assert low < evaluation.score.bits_per_character < high
        widths.append(high - low)
    assert widths[1] < 0.2 * widths[0]


def test_one_short_document_has_no_interval():
    evaluation = evaluation_of([20], 1)
    bits = evaluation.score.bits_per_character
    assert bits_per_character_interval(evaluation) == (bits, bits)


def test_two_short_documents_have_an_interval():
    evaluation = evaluation_of([20, 20], 1)
    low, high = bits_per_character_interval(evaluation)
    assert low < evaluation.score.bits_per_character < high


@pytest.mark.parametrize("count", [FEWEST_DOCUMENTS - 1, FEWEST_DOCUMENTS])
def test_documents_are_resampled_by_pieces_if_there_are_few(count: int):
    arrays = dataset.from_texts(TOKENIZER, ["a" * (2 * PIECE_TOKENS - 1)] * count)
    nats = np.tile(np.repeat([1.0, 2.0], PIECE_TOKENS), count)  # equal documents, unequal pieces
    low, high = bits_per_character_interval(Pieces(arrays).of_tokens(nats))
    assert (high - low > 0.1) == (count < FEWEST_DOCUMENTS)


def test_the_ends_are_percentiles_of_the_resamples():
    arrays = dataset.from_texts(TOKENIZER, ["a" * 9] * 20)
    nats = np.ones(len(arrays.tokens))
    nats[:10] = 101.0  # one costly document, which 98.4% of the resamples contain at most 3 times
    low, high = bits_per_character_interval(Pieces(arrays).of_tokens(nats))
    scale = 10 / 9 / NATS_PER_BIT
    assert (low, high) == pytest.approx((scale, (1.0 + 3 * 100 / 20) * scale))


def test_the_tokens_of_a_document_are_resampled_with_its_nats():
    arrays = dataset.from_texts(TOKENIZER, ["a", "a" * 999] * 20)  # equal nats per token
    low, high = bits_per_character_interval(Pieces(arrays).of_tokens(np.ones(len(arrays.tokens))))
    assert low == pytest.approx(high)


def test_an_interval_is_reproducible_whatever_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch):
    evaluation = evaluation_of([20] * 50, 1)
    interval = bits_per_character_interval(evaluation)
    assert bits_per_character_interval(evaluation) == interval
    for at_once in (1, 333):
        monkeypatch.setattr(intervals, "AT_ONCE", at_once)
        assert bits_per_character_interval(evaluation) == interval


def test_pieces_add_up_to_documents_and_to_the_whole():
    evaluation = evaluation_of([5, 3 * PIECE_TOKENS, 0, PIECE_TOKENS - 1, PIECE_TOKENS], 2)
    assert [*np.diff(evaluation.offsets)] == [1, 4, 1, 1, 2]
    assert evaluation.tokens.max() == PIECE_TOKENS
    assert evaluation.tokens.sum() == evaluation.score.tokens
    assert evaluation.document_nll_nats.sum() == pytest.approx(evaluation.score.nll_nats)
