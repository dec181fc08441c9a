import math
from typing import Any

import pytest
import torch

from rnnlm import dataset
from rnnlm.errors import ConfigError
from rnnlm.evaluation import adaptive
from rnnlm.evaluation.adaptive import Cache, Dynamic, evaluate_dynamically, evaluate_with_cache
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

TEXTS = ["the cat sat on the mat. " * 12, "a dog. " * 20, "x"]
TOKENIZER = CharacterTokenizer("".join(TEXTS))
ARRAYS = dataset.from_texts(TOKENIZER, TEXTS)
TRAIN = dataset.from_texts(TOKENIZER, ["the dog sat on a cat. " * 10])


@pytest.fixture
def model() -> NeuralLanguageModel:
    built = build(tiny_experiment(model={"dropout": 0.5}).model, TOKENIZER.vocab_size)
    assert isinstance(built, NeuralLanguageModel)
    return built


def test_learning_from_the_text_improves_scores_on_repetitive_text(model: NeuralLanguageModel):
    plain = evaluate(model, ARRAYS).document_nll_nats
    adapted = evaluate_dynamically(model, ARRAYS, TRAIN, Dynamic(rate=3e-3)).document_nll_nats
    assert adapted[0] < 0.95 * plain[0]
    assert adapted[2] == pytest.approx(plain[2], rel=1e-4)  # too short to learn from


def test_a_rate_of_zero_learns_nothing(model: NeuralLanguageModel):
    still = evaluate_dynamically(model, ARRAYS, TRAIN, Dynamic(rate=0.0))
    torch.testing.assert_close(
        torch.from_numpy(still.document_nll_nats),
        torch.from_numpy(evaluate(model, ARRAYS).document_nll_nats),
        rtol=1e-5,
        atol=1e-4,
    )


def test_letters_unseen_in_training_do_not_get_huge_updates(monkeypatch: pytest.MonkeyPatch):
    tokenizer = CharacterTokenizer("".join(TEXTS) + "äöü")
    built: Any = build(tiny_experiment().model, tokenizer.vocab_size)
    text = dataset.from_texts(tokenizer, ["äöü the cat. öäü a dog. üäö " * 20])
    train = dataset.from_texts(tokenizer, ["the dog sat on a cat. " * 10])
    seen: list[float] = []
    built.register_forward_pre_hook(
        lambda model, _: seen.append(model.embedding.weight.abs().max().item())
    )
    evaluate_dynamically(built, text, train)
    assert max(seen) < 1.5 * seen[0]
    monkeypatch.setattr(adaptive, "SMALLEST_GRADIENT", 1e-12)
    evaluate_dynamically(built, text, train)
    assert max(seen) > 100 * seen[0]  # without the limit they do


def test_a_learned_start_can_be_adapted():
    config = tiny_experiment(model={"learned_start": True}).model
    built = build(config, TOKENIZER.vocab_size)
    plain, adapted = evaluate(built, ARRAYS), evaluate_dynamically(built, ARRAYS, TRAIN)
    assert adapted.score.nll_nats < plain.score.nll_nats


def test_a_documents_score_does_not_depend_on_its_neighbours(model: NeuralLanguageModel):
    together = evaluate_dynamically(model, ARRAYS, TRAIN, Dynamic(rate=3e-3)).document_nll_nats
    alone = dataset.from_texts(TOKENIZER, TEXTS[1:2])
    apart = evaluate_dynamically(model, alone, TRAIN, Dynamic(rate=3e-3)).document_nll_nats
    assert together[1] == pytest.approx(apart[0], rel=1e-5)
    cached = evaluate_with_cache(model, ARRAYS).document_nll_nats
    assert cached[1] == pytest.approx(evaluate_with_cache(model, alone).document_nll_nats[0])


def test_evaluation_leaves_the_model_unchanged(model: NeuralLanguageModel):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    evaluate_dynamically(model, ARRAYS, TRAIN, Dynamic(rate=1.0))
    evaluate_with_cache(model, ARRAYS)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", [3, 50, 10_000])
def test_the_cache_matches_its_equations(size: int, model: NeuralLanguageModel):
    cache = Cache(size=size, flatness=2.0, weight=0.3)
    scored = evaluate_with_cache(model, ARRAYS, cache).document_nll_nats
    model.eval().requires_grad_(False)
    for number, text in enumerate(TEXTS):
        targets = [*TOKENIZER.encode(text).tolist(), 0]
        inputs = torch.tensor([[0, *targets[:-1]]])
        features = model.features(inputs, model.initial_state(1))[0]
        plain = torch.softmax(model.logits(features)[0], dim=-1)
        nats = 0.0
        for t, target in enumerate(targets):
            past = [*range(max(0, t - size), t)]
            expected = plain[t, target].item()
            if past:
                likeness = torch.stack([2.0 * features[0, t] @ features[0, i] for i in past])
                shares = torch.softmax(likeness, dim=0)
                hits = torch.tensor([targets[i] == target for i in past])
                expected = 0.7 * expected + 0.3 * float(shares[hits].sum())
            nats -= math.log(expected)
        assert scored[number] == pytest.approx(nats, rel=1e-4)


def test_ngram_models_cannot_be_adapted():
    counted = build(tiny_experiment(model={"architecture": "ngram"}).model, TOKENIZER.vocab_size)
    with pytest.raises(ConfigError, match="trained by gradient"):
        evaluate_dynamically(counted, ARRAYS, TRAIN)
    with pytest.raises(ConfigError, match="leave the option out"):
        evaluate_with_cache(counted, ARRAYS)
