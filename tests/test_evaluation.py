import math

import pytest
import torch

from rnnlm import dataset
from rnnlm.errors import EmptySplitError
from rnnlm.evaluation import evaluate
from rnnlm.models import LanguageModel, build
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
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.zeros_(model.output.bias)
    score = evaluate(model, dataset.from_texts(TOKENIZER, TEXTS)).score
    assert score.perplexity == pytest.approx(TOKENIZER.vocab_size, rel=1e-5)
    assert score.nll_nats == pytest.approx(score.tokens * math.log(TOKENIZER.vocab_size), rel=1e-5)


def test_scoring_leaves_the_mode_as_it_was(model: LanguageModel):
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
