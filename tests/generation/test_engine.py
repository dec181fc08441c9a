import math

import pytest
import torch

from rnnlm.config import GenerationConfig
from rnnlm.errors import TokenizerError
from rnnlm.generation.engine import GeneratedText, generate_texts
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

TOKENIZER = CharacterTokenizer("abcdefgh ")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(1)
    return build(tiny_experiment().model, TOKENIZER.vocab_size).eval()


def texts(model: LanguageModel, first: int = 0, count: int = 50, **settings) -> list[GeneratedText]:
    config = GenerationConfig(**{"temperature": 1.0, "max_length": 30, "batch_size": 8, **settings})
    found = generate_texts(model, TOKENIZER, config, first, count)
    return sorted(found, key=lambda text: text.number)


def test_every_text_comes_exactly_once(model: LanguageModel):
    assert [text.number for text in texts(model, first=7, count=50)] == [*range(7, 57)]


def test_a_text_depends_on_seed_and_number_alone(model: LanguageModel):
    whole = texts(model, count=40)
    assert texts(model, first=10, count=5) == whole[10:15]
    assert texts(model, first=39, count=1) == whole[39:]
    assert texts(model, count=40) == whole
    assert [t.text for t in texts(model, count=40, seed=2)] != [t.text for t in whole]


def test_texts_keep_to_their_length_and_prefix(model: LanguageModel):
    for text in texts(model, max_length=9, prefix="abc"):
        assert text.text.startswith("abc")
        assert text.tokens <= 9
        assert len(text.text) <= 12
        assert text.complete or text.tokens == 9


def test_long_texts_outgrow_the_first_buffer(model: LanguageModel):
    lengths = [text.tokens for text in texts(model, count=20, max_length=1000)]
    assert max(lengths) <= 1000
    assert texts(model, count=3, max_length=300) == texts(model, count=20, max_length=300)[:3]


def test_log_probabilities_are_the_models_own(model: LanguageModel):
    for text in texts(model, count=10, temperature=0.5, top_k=3, prefix="ab"):
        sampled = TOKENIZER.encode(text.text[2:]).tolist() + ([0] if text.complete else [])
        ids = [0, *TOKENIZER.encode("ab").tolist(), *sampled]
        with torch.inference_mode():
            logits, _ = model(torch.tensor([ids[:-1]]), model.initial_state(1))
            logits[..., TOKENIZER.unknown_id] = -math.inf
        log_probs = torch.log_softmax(logits[0], -1)
        expected = sum(log_probs[n - 1, ids[n]].item() for n in range(3, len(ids)))
        assert text.log_prob_nats == pytest.approx(expected, abs=1e-3)


def test_the_unknown_token_is_never_drawn(model: LanguageModel):
    assert not any("\ufffd" in text.text for text in texts(model, count=200, temperature=5.0))


def test_temperature_zero_makes_every_text_the_same(model: LanguageModel):
    assert len({text.text for text in texts(model, temperature=0.0)}) == 1


def test_a_prefix_outside_the_vocabulary_is_refused(model: LanguageModel):
    with pytest.raises(TokenizerError, match="'Z'"):
        texts(model, prefix="aZ")
