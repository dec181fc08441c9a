import math
from itertools import pairwise

import pytest
import torch

from rnnlm import dataset
from rnnlm.errors import EmptySplitError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import LanguageModel, build
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

TEXTS = ["one", "a much longer document than the others, " * 20, "", "x"]
TOKENIZER = CharacterTokenizer("".join(TEXTS))


@pytest.fixture
def model() -> LanguageModel:
    return build(tiny_experiment(model={"dropout": 0.5}).model, TOKENIZER.vocab_size)


def test_a_score_is_the_sum_of_each_documents_own_nats(model: LanguageModel):
    arrays = dataset.from_texts(TOKENIZER, TEXTS)
    evaluation = evaluate(model, arrays, TOKENIZER.unknown_id)
    model.eval()
    for number, text in enumerate(TEXTS):
        targets = torch.tensor([*TOKENIZER.encode(text), 0])
        inputs = torch.tensor([0, *TOKENIZER.encode(text)])
        logits, _ = model(inputs[None], model.initial_state(1))
        nats = torch.nn.functional.cross_entropy(logits[0], targets, reduction="sum").item()
        assert evaluation.document_nll_nats[number] == pytest.approx(nats, rel=1e-4)
    assert evaluation.score.nll_nats == pytest.approx(evaluation.document_nll_nats.sum())
    assert evaluation.score.tokens == sum(len(text) + 1 for text in TEXTS)
    assert evaluation.score.characters == sum(map(len, TEXTS))


def test_uniform_logits_give_a_perplexity_of_the_vocabulary(model: LanguageModel):
    torch.nn.init.zeros_(model.U)
    torch.nn.init.zeros_(model.b_2)
    score = evaluate(model, dataset.from_texts(TOKENIZER, TEXTS)).score
    assert score.perplexity == pytest.approx(TOKENIZER.vocab_size, rel=1e-5)
    assert score.nll_nats == pytest.approx(score.tokens * math.log(TOKENIZER.vocab_size), rel=1e-5)


def test_scoring_leaves_the_training_mode_unchanged(model: LanguageModel):
    arrays = dataset.from_texts(TOKENIZER, TEXTS)
    for training in (True, False):
        model.train(training)
        evaluate(model, arrays)
        assert model.training is training


def test_unknown_characters_are_counted(model: LanguageModel):
    arrays = dataset.from_texts(TOKENIZER, ["ooo", "ö€o"])
    assert evaluate(model, arrays, TOKENIZER.unknown_id).score.unknown == 2


def test_nothing_to_score_is_an_error(model: LanguageModel):
    with pytest.raises(EmptySplitError):
        evaluate(model, dataset.from_texts(TOKENIZER, []))


def test_n_gram_scores_match_the_models_logits():
    arrays = dataset.from_texts(TOKENIZER, TEXTS)
    counted = build(tiny_experiment(model={"architecture": "ngram"}).model, TOKENIZER.vocab_size)
    assert isinstance(counted, NGramLanguageModel)
    counted.fit(arrays)
    fast = evaluate(counted, arrays).document_nll_nats
    slow = []
    for text in TEXTS:
        targets = torch.tensor([*TOKENIZER.encode(text), 0])
        inputs = torch.tensor([[0, *TOKENIZER.encode(text)]])
        logits, _ = counted(inputs, counted.initial_state(1))
        slow.append(torch.nn.functional.cross_entropy(logits[0], targets, reduction="sum").item())
    assert [*fast] == pytest.approx(slow, rel=1e-4)


def test_long_documents_are_scored_over_all_their_windows(model: LanguageModel):
    arrays = dataset.from_texts(TOKENIZER, ["one " * 900, "two", "a much longer " * 300])
    evaluation = evaluate(model, arrays)
    assert evaluation.tokens.sum() == len(arrays.tokens)
    model.eval()
    for number, (start, end) in enumerate(pairwise(arrays.offsets.tolist())):
        targets = torch.from_numpy(arrays.tokens[start:end].astype("int64"))
        inputs = torch.cat([torch.zeros(1, dtype=torch.int64), targets[:-1]])
        logits, _ = model(inputs[None], model.initial_state(1))
        nats = torch.nn.functional.cross_entropy(logits[0], targets, reduction="sum").item()
        assert evaluation.document_nll_nats[number] == pytest.approx(nats, rel=1e-4)
