import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rnnlm import checkpoint
from rnnlm.config import GenerationConfig, ModelConfig
from rnnlm.dataset import from_texts
from rnnlm.engine.drawing import generate_texts
from rnnlm.engine.texts import GeneratedText
from rnnlm.errors import CheckpointError, EmptySplitError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import build
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.ngram import score
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer
from rnnlm.tokens import BOUNDARY_ID
from tests.conftest import lines, tiny_experiment
from tests.ngrams import DOCUMENTS, VOCAB_SIZE, SlowNGrams, arrays_of

TEXTS = lines(200).splitlines()
TOKENIZER = CharacterTokenizer.learn(TEXTS)


def empty(order: int, vocab_size: int = VOCAB_SIZE) -> NGramLanguageModel:
    config = ModelConfig(architecture="ngram", ngram_order=order)
    return NGramLanguageModel(config, vocab_size).eval()


@pytest.fixture(scope="module")
def model() -> NGramLanguageModel:
    fitted = empty(4, TOKENIZER.vocab_size)
    fitted.fit(from_texts(TOKENIZER, TEXTS[::2]))
    return fitted


def test_an_empty_model_is_uniform():
    logits, _ = empty(3)(torch.zeros(2, 4, dtype=torch.int64), empty(3).initial_state(2))
    torch.testing.assert_close(logits, torch.full((2, 4, VOCAB_SIZE), -math.log(VOCAB_SIZE)))


def test_the_architecture_name_builds_an_ngram_model():
    built = build(ModelConfig(architecture="ngram"), VOCAB_SIZE)
    assert isinstance(built, NGramLanguageModel)
    assert built.order == 6


@settings(deadline=None)
@given(train=DOCUMENTS, test=DOCUMENTS, order=st.integers(1, 5))
def test_logits_match_the_log_probabilities_of_the_definition(train, test, order):
    model, slow = empty(order), SlowNGrams(train, VOCAB_SIZE, order)
    model.fit(arrays_of(train))
    for document in test:
        read = [BOUNDARY_ID, *document]
        logits, _ = model(torch.tensor([read]), model.initial_state(1))
        expected = [
            [math.log(slow.probability(token, read[:end])) for token in range(VOCAB_SIZE)]
            for end in range(1, len(read) + 1)
        ]
        torch.testing.assert_close(logits[0], torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", range(1, 7))
def test_scores_by_logits_match_scores_by_tables(order: int):
    model = empty(order, TOKENIZER.vocab_size)
    model.fit(from_texts(TOKENIZER, TEXTS[::2]))
    test = from_texts(TOKENIZER, TEXTS[1::2])
    documents = np.add.reduceat(score(model.tables, test), test.offsets[:-1])
    dense = evaluate(model, test).document_nll_nats
    np.testing.assert_allclose(dense, documents, rtol=1e-6)


def test_logits_are_normalised_after_contexts_seen_and_unseen(model: NGramLanguageModel):
    inputs = torch.randint(0, TOKENIZER.vocab_size, (5, 40))
    inputs[0, :9] = torch.tensor([BOUNDARY_ID, *TOKENIZER.encode(TEXTS[0])[:8].tolist()])
    logits, _ = model(inputs, model.initial_state(5))
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.double().exp().sum(-1), torch.ones(5, 40).double())


def test_64_tokens_at_once_equal_4_times_16_with_carried_state(model: NGramLanguageModel):
    stream = TOKENIZER.encode(" ".join(TEXTS))[: 3 * 64]
    inputs = torch.tensor(stream).view(3, 64)
    whole, (end,) = model(inputs, model.initial_state(3))
    state, parts = model.initial_state(3), []
    for part in inputs.split(16, dim=1):
        logits, state = model(part, state)
        parts.append(logits)
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert torch.equal(state[0], end)
    assert (end >= 0).any()


def test_fresh_lanes_are_reset_and_the_others_keep_their_state(model: NGramLanguageModel):
    _, state = model(torch.full((2, 3), 5), model.initial_state(2))
    (reset,) = model.reset_state(state, torch.tensor([True, False]))
    assert torch.equal(reset[0], model.initial_state(2)[0][0])
    assert torch.equal(reset[1], state[0][1])
    assert reset.shape == (2, 3)


def test_results_do_not_depend_on_how_many_rows_are_computed_at_once(
    model: NGramLanguageModel, monkeypatch: pytest.MonkeyPatch
):
    inputs = torch.randint(0, TOKENIZER.vocab_size, (4, 9))
    whole, _ = model(inputs, model.initial_state(4))
    monkeypatch.setattr("rnnlm.models.ngram._MOST_PROBABILITIES", 7 * TOKENIZER.vocab_size)
    assert torch.equal(model(inputs, model.initial_state(4))[0], whole)


def test_fitting_again_forgets_earlier_counts():
    model, other = empty(3), empty(3)
    model.fit(arrays_of([[1, 2, 3, 4, 1, 2]]))
    model.fit(arrays_of([[4]]))
    other.fit(arrays_of([[4]]))
    assert all(torch.equal(model.state_dict()[k], v) for k, v in other.state_dict().items())


def test_the_parameter_count_is_the_number_of_stored_ngrams():
    model = empty(3)
    assert model.parameter_count == VOCAB_SIZE
    model.fit(arrays_of([[1, 2], [1]]))
    # 5 unigrams; bigrams 01, 12, 20, 10; trigrams 012, 120, 010.
    assert model.parameter_count == VOCAB_SIZE + 4 + 3


def test_an_empty_training_split_is_refused():
    with pytest.raises(EmptySplitError):
        empty(3).fit(arrays_of([]))


@pytest.mark.parametrize("fitted", [True, False])
def test_a_checkpoint_holds_the_whole_model(tmp_path: Path, fitted: bool):
    experiment = tiny_experiment(model={"architecture": "ngram", "ngram_order": 4})
    model = build(experiment.model, TOKENIZER.vocab_size)
    if fitted:
        model.fit(from_texts(TOKENIZER, TEXTS))
    checkpoint.save(tmp_path / "model", model, TOKENIZER, experiment, {})
    loaded = checkpoint.load(tmp_path / "model").model
    inputs = torch.randint(0, TOKENIZER.vocab_size, (3, 20))
    assert torch.equal(
        loaded(inputs, loaded.initial_state(3))[0], model(inputs, model.initial_state(3))[0]
    )
    assert loaded.parameter_count == model.parameter_count
    assert {k: v.dtype for k, v in loaded.named_buffers()} == {
        k: v.dtype for k, v in model.named_buffers()
    }


def test_tables_of_another_order_or_vocabulary_are_refused(
    model: NGramLanguageModel, tmp_path: Path
):
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    torn = {**weights, "model.keys_2": weights["model.keys_2"][:-1]}
    for other, tensors in [
        (empty(3, TOKENIZER.vocab_size), weights),
        (empty(5, TOKENIZER.vocab_size), weights),
        (empty(4, TOKENIZER.vocab_size + 1), weights),
        (empty(4, TOKENIZER.vocab_size), torn),
    ]:
        with pytest.raises(CheckpointError, match="fit another model"):
            checkpoint.load_weights(other, tensors, tmp_path)


def texts(model: NGramLanguageModel, count: int, **changes) -> list[GeneratedText]:
    values = {"temperature": 1.0, "max_length": 200, "batch_size": 64, **changes}
    return [*generate_texts(model, TOKENIZER, GenerationConfig(**values), 0, count)]


def test_the_engine_writes_texts_that_end(model: NGramLanguageModel):
    written = texts(model, 200)
    assert sum(text.complete for text in written) > 190
    assert all(text.text.isprintable() for text in written)


def test_the_engine_continues_a_prefix(model: NGramLanguageModel):
    for text in texts(model, 20, prefix="warm"):
        assert text.text.startswith("warm")
    greedy = {text.text for text in texts(model, 3, prefix="warm", temperature=0.0)}
    assert greedy.pop().startswith("warm g")
    assert not greedy


def test_the_engine_reports_the_models_own_log_probabilities():
    tokenizer = ByteTokenizer()  # has no <unk> that the engine would leave out
    model = empty(3, tokenizer.vocab_size)
    model.fit(from_texts(tokenizer, TEXTS))
    settings = GenerationConfig(temperature=1.0, top_k=3, max_length=200, batch_size=8)
    written = [t for t in generate_texts(model, tokenizer, settings, 0, 20) if t.complete]
    own = [score(model.tables, from_texts(tokenizer, [t.text])).sum() for t in written]
    np.testing.assert_allclose([-t.log_prob_nats for t in written], own, rtol=1e-5)


def test_sampled_bigrams_have_the_frequencies_of_the_model():
    tokenizer = CharacterTokenizer("abc")
    model = empty(2, tokenizer.vocab_size)
    model.fit(from_texts(tokenizer, ["abcab", "aabb", "cab", "bca", "c"]))
    settings = GenerationConfig(temperature=1.0, max_length=50, batch_size=64)
    seen = np.zeros((tokenizer.vocab_size, tokenizer.vocab_size))
    for text in generate_texts(model, tokenizer, settings, 0, 3000):
        ids = [BOUNDARY_ID, *tokenizer.encode(text.text), *([BOUNDARY_ID] * text.complete)]
        np.add.at(seen, (ids[:-1], ids[1:]), 1)
    possible = [token for token in range(tokenizer.vocab_size) if token != tokenizer.unknown_id]
    for context in possible:
        read = torch.tensor([[BOUNDARY_ID, context] if context else [BOUNDARY_ID]])
        logits, _ = model(read, model.initial_state(1))
        expected = torch.softmax(logits[0, -1, possible].double(), -1).numpy()
        found = seen[context, possible]
        assert found.sum() > 1000
        assert chisquare(found, expected * found.sum()).pvalue > 1e-3
