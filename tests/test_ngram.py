import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import XKCD_COLORS

from rnnlm import ngram
from rnnlm.dataset import from_texts
from rnnlm.errors import EmptySplitError
from rnnlm.ngram import FALLBACK_DISCOUNTS, count, discounts, score
from rnnlm.progress import Progress
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.tokens import BOUNDARY_ID
from tests.ngrams import DOCUMENTS, VOCAB_SIZE, SlowNGrams, arrays_of

ORDERS = st.integers(1, 5)
RICH = [[*np.random.default_rng(seed).geometric(0.5, 40).clip(1, 4)] for seed in range(20)]
"""Documents with n-grams that occur once, twice, three and four times, so that discounts can be
estimated."""


def slow_nats(slow: SlowNGrams, documents: list[list[int]]) -> list[float]:
    nats: list[float] = []
    for document in documents:
        read = [BOUNDARY_ID, *document, BOUNDARY_ID]
        nats += [
            -np.log(float(slow.probability(read[target], read[:target])))
            for target in range(1, len(read))
        ]
    return nats


def next_probabilities(tables: ngram.NGramTables, before: list[int]) -> np.ndarray:
    """Return the probability of each token to come next in a document that begins with `before`."""
    arrays = arrays_of([[*before, token] for token in range(VOCAB_SIZE)])
    return np.exp(-score(tables, arrays)).reshape(VOCAB_SIZE, -1)[:, len(before)]


@settings(deadline=None)
@given(train=DOCUMENTS, test=DOCUMENTS, order=ORDERS)
def test_scores_match_the_definition(train, test, order):
    fast = score(count(arrays_of(train), VOCAB_SIZE, order), arrays_of(test))
    slow = slow_nats(SlowNGrams(train, VOCAB_SIZE, order), test)
    np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", range(1, 7))
def test_scores_match_the_definition_with_estimated_discounts(order: int):
    tables = count(arrays_of(RICH), VOCAB_SIZE, order)
    slow = SlowNGrams(RICH, VOCAB_SIZE, order)
    if order > 2:
        assert tuple(tables.orders[-1].discounts) != FALLBACK_DISCOUNTS
    test = [[1, 2, 1, 1], [], [4, 4, 4, 4, 4], [1]]
    np.testing.assert_allclose(score(tables, arrays_of(test)), slow_nats(slow, test), rtol=1e-12)


@settings(deadline=None)
@given(train=DOCUMENTS, before=st.lists(st.integers(1, VOCAB_SIZE - 1), max_size=6), order=ORDERS)
def test_probabilities_sum_to_one_after_any_context(train, before, order):
    probabilities = next_probabilities(count(arrays_of(train), VOCAB_SIZE, order), before)
    assert probabilities.min() > 0.0
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_unigram_model_is_discounted_frequencies_plus_a_share_of_uniform():
    tables = count(arrays_of([[1, 1, 1, 2], [1]]), VOCAB_SIZE, order=1)
    counts, taken = np.array([2, 4, 1, 0, 0]), np.array([1.0, 1.5, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(tables.unigrams, (counts - taken + 3.0 / VOCAB_SIZE) / 7)


def test_lower_orders_count_distinct_preceding_tokens():
    tables = count(arrays_of([[1, 2], [1, 2], [1, 2], [3]]), VOCAB_SIZE, order=2)
    # 0 follows 2 and 3; 1 follows only the boundary, three times; 3 follows it once.
    assert tables.unigram_counts.tolist() == [2, 1, 1, 1, 0]
    assert tables.orders[0].counts.sum() == 3 + 3 + 3 + 1 + 1


def test_ngrams_that_begin_a_document_keep_their_occurrences():
    tables = count(arrays_of([[1, 2], [1, 2], [1, 2], [3]]), VOCAB_SIZE, order=3)
    bigrams = dict(zip(tables.orders[0].keys.tolist(), tables.orders[0].counts, strict=True))
    assert bigrams[BOUNDARY_ID * VOCAB_SIZE + 1] == 3
    assert bigrams[1 * VOCAB_SIZE + 2] == 1


def test_no_ngram_spans_two_documents():
    together = count(arrays_of([[1, 2], [3, 4]]), VOCAB_SIZE, order=4)
    pairs = {divmod(int(key), VOCAB_SIZE) for key in together.orders[0].keys}
    assert pairs == {(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 0)}


def test_discounts_match_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 20, 10, 6, 5])
    share = 40 / (40 + 2 * 20)
    expected = [0, 1 - 2 * share * 20 / 40, 2 - 3 * share * 10 / 20, 3 - 4 * share * 6 / 10]
    np.testing.assert_allclose(discounts(counts), expected)


@pytest.mark.parametrize(
    "counts", [[], [1, 1, 1], [5, 6, 7], [1, 2, 3], [1, 2, 3, *[4] * 50]], ids=str
)
def test_discounts_fall_back_if_they_cannot_be_estimated(counts: list[int]):
    assert tuple(discounts(np.array(counts, dtype=np.int64))) == FALLBACK_DISCOUNTS


@pytest.mark.parametrize("documents", [[[]], [[1]], [[], [], []], [[1, 2, 3]]], ids=str)
def test_the_smallest_splits_give_valid_distributions(documents: list[list[int]]):
    for order in range(1, 7):
        tables = count(arrays_of(documents), VOCAB_SIZE, order)
        for before in ([], [1], [1, 2, 3], [4, 4, 4, 4, 4, 4]):
            probabilities = next_probabilities(tables, before)
            assert probabilities.min() > 0.0
            assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_an_empty_split_is_refused():
    with pytest.raises(EmptySplitError, match="training split is empty"):
        count(arrays_of([]), VOCAB_SIZE, order=3)


def test_scores_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch):
    whole = count(arrays_of(RICH), VOCAB_SIZE, order=4)
    test = arrays_of([[], [1], [1, 2, 3, 4, 1], [2, 2, 1], []])
    nats = score(whole, test)
    for chunk in (1, 2, 3, 7):
        monkeypatch.setattr(ngram, "_CHUNK", chunk)
        tables = count(arrays_of(RICH), VOCAB_SIZE, order=4)
        for mine, theirs in zip(tables.orders, whole.orders, strict=True):
            assert np.array_equal(mine.keys, theirs.keys)
            assert np.array_equal(mine.counts, theirs.counts)
        assert np.array_equal(score(tables, test), nats)


def test_keys_do_not_overflow_with_a_large_vocabulary():
    documents = [[49_999, 49_998, 49_997] * 3, [49_999] * 8]
    arrays = arrays_of([[0] * len(d) for d in documents])
    tokens = np.array([t for d in documents for t in (*d, BOUNDARY_ID)], dtype=np.uint32)
    arrays = type(arrays)(tokens, arrays.offsets, arrays.characters, arrays.bytes)
    tables = count(arrays, 50_000, order=6)
    slow = SlowNGrams(documents, 50_000, order=1)
    assert tables.orders[0].keys.dtype == np.int64
    assert all((table.keys >= 0).all() for table in tables.orders)
    assert len(slow.counts) == 4
    # Tokens that were seen are far likelier than one in fifty thousand.
    assert score(tables, arrays).mean() < 3.0


def test_held_out_text_is_predicted_better_by_longer_contexts_up_to_a_point():
    names = sorted(name.removeprefix("xkcd:") for name in XKCD_COLORS)
    tokenizer = CharacterTokenizer.learn(names)
    test = from_texts(tokenizer, names[::10])
    train = from_texts(tokenizer, [name for n, name in enumerate(names) if n % 10])
    nats = [score(count(train, tokenizer.vocab_size, n), test).mean() for n in range(1, 7)]
    assert nats[:4] == sorted(nats[:4], reverse=True)
    assert nats[3] < 0.85 * nats[0]
    assert max(nats[4:]) < 1.02 * nats[3]


def test_progress_ends_with_all_orders_done():
    reports: list[Progress] = []
    count(arrays_of([[1, 2]]), VOCAB_SIZE, 3, reports.append)
    assert [progress.done for progress in reports] == [1, 2, 3]
    assert {progress.total for progress in reports} == {3}
