from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm import dataset
from rnnlm.config import ModelConfig
from rnnlm.errors import DamagedFileError
from rnnlm.evaluation import comparison as module
from rnnlm.evaluation.comparison import TextNats, compare
from rnnlm.evaluation.scoring import Pieces, evaluate
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.tokenizer.word import WordTokenizer


def nats(documents: np.ndarray, characters: np.ndarray) -> TextNats:
    """Return a model's negative log-likelihood of each document in a text, in nats.

    Each document is one piece (the unit of the comparison), and each character is one token.
    """
    return TextNats(documents, characters, documents, characters)


def some(count: int, seed: int, shift: float = 0.0) -> tuple[TextNats, TextNats]:
    """Return the nats of two models on the same documents.

    The second model needs more nats than the first, by about `shift` per character.
    """
    chance = np.random.default_rng(seed)
    characters = chance.integers(5, 60, count)
    documents = characters * chance.uniform(1.0, 2.0, count)
    other = documents + characters * (shift + chance.normal(0, 0.05, count))
    return nats(documents, characters), nats(other, characters)


@given(st.integers(1, 60), st.integers(0, 1000), st.floats(-0.5, 0.5))
def test_the_gain_is_the_difference_of_the_bits_per_character(count: int, seed: int, shift: float):
    first, second = some(count, seed, shift)
    comparison = compare(first, second, 0.9)
    gain = second.bits_per_character - first.bits_per_character
    assert comparison.better_by == pytest.approx(gain)
    assert comparison.low <= comparison.high


def test_swapping_the_models_negates_the_gain():
    first, second = some(100, 1, 0.02)
    one, other = compare(first, second, 0.95), compare(second, first, 0.95)
    assert one.better_by == pytest.approx(-other.better_by)
    assert one.low == pytest.approx(-other.high)
    assert one.confidence == pytest.approx(1.0 - other.confidence)


def test_a_model_is_not_better_than_itself():
    first, _ = some(50, 2)
    comparison = compare(first, first, 0.95)
    assert comparison.better_by == comparison.low == comparison.high == comparison.confidence == 0


def test_a_clear_gain_has_full_confidence_and_chance_does_not():
    assert compare(*some(300, 3, 0.05), 0.95).confidence == 1.0
    assert 0.05 < compare(*some(300, 3, 0.0), 0.95).confidence < 0.999


def test_the_interval_contains_the_truth_about_as_often_as_stated():
    held = 0
    for seed in range(200):
        comparison = compare(*some(60, seed, 0.02), 0.9)
        held += comparison.low <= 0.02 / NATS_PER_BIT <= comparison.high
    assert 0.83 <= held / 200 <= 0.97


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_equal_models_seldom_win_on_few_documents(count: int):
    sure = [compare(*some(count, seed), 0.95).confidence >= 0.95 for seed in range(400)]
    assert sum(sure) / len(sure) <= 0.1


def test_a_single_document_gives_no_confidence():
    first, second = some(1, 0, 0.5)
    comparison = compare(first, second, 0.95)
    assert comparison.better_by > 0.4
    assert comparison.confidence == 0.5
    assert comparison.low == -np.inf


def test_a_smaller_vocabulary_does_not_win_by_unknown_tokens():
    words = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 4))
    names = ["".join(chr(97 + int(d)) for d in f"{n:03d}") for n in words]
    texts = [" ".join(names[at : at + 12]) for at in range(0, len(names), 12)]

    def scored(fewest: int) -> TextNats:
        tokenizer = WordTokenizer.learn(texts[:80], "pieces", 10_000, fewest)
        model = NGramLanguageModel(ModelConfig(architecture="ngram"), tokenizer.vocab_size)
        model.fit(dataset.from_texts(tokenizer, texts[:80]))
        arrays = dataset.from_texts(tokenizer, texts[80:])
        return TextNats.of(evaluate(model, arrays, tokenizer.unknown_id))

    assert compare(scored(1000), scored(1), 0.95).better_by < 0


def test_pairing_detects_a_gain_that_two_intervals_would_miss():
    chance = np.random.default_rng(5)
    characters = np.full(100, 20)
    documents = characters * chance.uniform(0.5, 4.0, 100)  # documents differ widely
    first, second = nats(documents, characters), nats(documents + 0.1, characters)
    assert compare(first, second, 0.95).confidence == 1.0


def test_few_documents_are_compared_by_their_pieces_if_both_models_have_the_same():
    documents, characters = np.array([300.0]), np.array([400])
    pieces = np.array([100.0, 120.0, 80.0])
    tokens = np.array([150, 150, 100])
    first = TextNats(documents, characters, pieces, tokens)
    better = TextNats(documents - 30, characters, pieces - 10, tokens)
    other_tokens = TextNats(documents - 30, characters, pieces - 10, tokens // 2)
    assert compare(better, first, 0.95).units == 3
    assert compare(other_tokens, first, 0.95).units == 1
    for candidate in (better, other_tokens):
        comparison = compare(candidate, first, 0.95)
        assert comparison.better_by == pytest.approx(30 / 400 / NATS_PER_BIT)


@pytest.mark.parametrize(("documents", "units"), [(19, 57), (20, 20)])
def test_twenty_documents_are_enough_to_compare_whole_documents(documents: int, units: int):
    characters = np.full(documents, 400)
    tokens = np.tile([150, 150, 100], documents)
    pieces = np.tile([100.0, 120.0, 80.0], documents)
    first = TextNats(np.full(documents, 300.0), characters, pieces, tokens)
    second = TextNats(first.documents + 30, characters, pieces + 10, tokens)
    assert compare(first, second, 0.95).units == units


@pytest.mark.parametrize("count", [2, 19, 20])
@pytest.mark.parametrize("gain", [0.0, 0.25])
def test_equal_gains_on_all_documents_leave_no_doubt(count: int, gain: float):
    characters = np.arange(1, count + 1) * 8
    documents = characters * 1.5
    first, second = (nats(documents + more * characters, characters) for more in (0.0, gain))
    comparison = compare(first, second, 0.95)
    assert comparison.confidence == float(gain > 0)
    bits = pytest.approx(gain / NATS_PER_BIT)
    assert (comparison.better_by, comparison.low, comparison.high) == (bits, bits, bits)
    assert comparison.units == count


def test_a_comparison_is_reproducible_whatever_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch):
    pair = some(30, 1)
    found = compare(*pair, 0.95)
    assert compare(*pair, 0.95) == found
    for at_once in (1, 30 * 300):
        monkeypatch.setattr(module, "AT_ONCE", at_once)
        assert compare(*pair, 0.95) == found


def test_a_higher_level_widens_the_interval_around_the_gain():
    for count in (10, 100):
        narrow, wide = (compare(*some(count, 1, 0.01), level) for level in (0.5, 0.99))
        assert wide.low < narrow.low < narrow.better_by < narrow.high < wide.high
        assert narrow.confidence == wide.confidence


def test_an_unknown_token_costs_the_bytes_of_an_average_token():
    texts = ["aé", "b", "abab"]
    arrays = dataset.from_texts(CharacterTokenizer("aé"), texts)
    evaluation = Pieces(arrays).of_tokens(np.ones(len(arrays.tokens)))
    unknown = np.array([0, 1, 2])
    found = TextNats.of(replace(evaluation, unknown=unknown))
    spelling = np.log(256) * arrays.bytes.sum() / len(arrays.tokens)
    assert found.documents == pytest.approx(arrays.lengths + spelling * unknown)
    assert found.pieces == pytest.approx(found.documents)
    assert found.characters.tolist() == [2, 1, 4]
    assert found.piece_tokens.tolist() == arrays.lengths.tolist()


def test_scores_of_different_documents_are_not_compared():
    with pytest.raises(ValueError, match="different documents"):
        compare(some(10, 1)[0], some(11, 1)[0], 0.95)


def test_nats_survive_saving_and_loading(tmp_path):
    first, _ = some(12, 4)
    first.save(tmp_path / "nats.npz")
    again = TextNats.load(tmp_path / "nats.npz")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_damaged_file_of_nats_is_one_clear_error(tmp_path):
    (tmp_path / "nats.npz").write_bytes(b"damaged")
    with pytest.raises(DamagedFileError, match="score the checkpoint again"):
        TextNats.load(tmp_path / "nats.npz")
