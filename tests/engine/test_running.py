from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from rnnlm.config import GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine.drawing import generate_texts, write_line
from rnnlm.engine.running import (
    PRECISIONS,
    Engine,
    choose_engine,
    log_probabilities,
    open_slots,
    run,
)
from rnnlm.engine.texts import Decoder, GeneratedText, rows
from rnnlm.errors import TokenizerError
from rnnlm.kernels.native import native_available
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

TOKENIZER = CharacterTokenizer("abcdefgh ")
ENGINES = [Engine("model", "fp32")]
ENGINES += [Engine("torch", precision) for precision in PRECISIONS]
if native_available():
    ENGINES += [Engine("native", precision) for precision in PRECISIONS]
engines = pytest.mark.parametrize("how", ENGINES, ids=lambda how: f"{how.kind}-{how.precision}")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(1)
    model = build(tiny_experiment().model, TOKENIZER.vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def config(**settings) -> GenerationConfig:
    return GenerationConfig(**{"temperature": 1.0, "max_length": 30, "batch_size": 8, **settings})


def texts(
    model: LanguageModel, how: Engine, first: int = 0, count: int = 50, **settings
) -> list[GeneratedText]:
    found = generate_texts(model, TOKENIZER, config(**settings), first, count, how)
    return sorted(found, key=lambda text: text.number)


@engines
def test_every_text_is_generated_exactly_once(model: LanguageModel, how: Engine):
    found = texts(model, how, first=7, count=50)
    assert [text.number for text in found] == [*range(7, 57)]


@engines
def test_a_text_depends_only_on_the_seed_and_its_number(model: LanguageModel, how: Engine):
    whole = texts(model, how, count=40)
    assert texts(model, how, first=10, count=5) == whole[10:15]
    assert texts(model, how, first=39, count=1) == whole[39:]
    assert texts(model, how, count=40) == whole
    assert [t.text for t in texts(model, how, count=40, seed=2)] != [t.text for t in whole]


@pytest.mark.parametrize("slots", [1, 3, 64])
@pytest.mark.parametrize("how", [h for h in ENGINES if h.precision == "int8" or h.kind == "native"])
def test_a_text_is_the_same_in_any_number_of_slots(model: LanguageModel, how: Engine, slots: int):
    assert texts(model, how, batch_size=slots) == texts(model, how)


@engines
def test_slots_can_be_reused(model: LanguageModel, how: Engine):
    slots = open_slots(how, model, TOKENIZER, config())

    def by_number(first: int, count: int) -> dict[int, str]:
        found = (rows(ended, Decoder(TOKENIZER, [""])) for ended in run(slots, first, count))
        return {text.number: text.text for part in found for text in part}

    first = by_number(0, 30)
    assert by_number(5, 10) == {number: first[number] for number in range(5, 15)}


@engines
def test_texts_respect_their_lengths_and_prefix(model: LanguageModel, how: Engine):
    for text in texts(model, how, max_length=9, min_length=4, prefix="abc"):
        assert text.text.startswith("abc")
        assert 5 <= text.tokens <= 9
        assert 7 <= len(text.text) <= 12
        assert text.complete == (len(text.text) == 2 + text.tokens)


@engines
def test_prefixes_are_used_in_turn(model: LanguageModel, how: Engine):
    prefixes = ["a", "bcd", ""]
    slots = open_slots(how, model, TOKENIZER, config(), Rules(tuple(prefixes)))
    alone = {
        place: texts(model, how, count=21, prefix=prefix) for place, prefix in enumerate(prefixes)
    }
    for ended in run(slots, 0, 21):
        for text in rows(ended, Decoder(TOKENIZER, [""])):
            place = text.number % 3
            assert prefixes[place] + text.text == alone[place][text.number].text


def test_a_long_prefix_takes_no_memory_for_the_other_prefixes(model: LanguageModel):
    given = ["a" * 1500, *["b"] * 500]
    how, rules = Engine("torch", "fp32"), Rules(tuple(given))
    slots = open_slots(how, model, TOKENIZER, config(max_length=5), rules)
    tensors = [value for value in vars(slots).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in tensors) < 500_000
    found = {n for ended in run(slots, 0, 30) for n in ended.numbers.tolist()}
    assert found == {*range(30)}


@engines
def test_long_texts_outgrow_the_first_buffer(model: LanguageModel, how: Engine):
    lengths = [text.tokens for text in texts(model, how, count=20, max_length=300, min_length=200)]
    assert 200 < max(lengths) <= 300
    assert min(lengths) > 200


@engines
def test_log_probabilities_match_the_model(model: LanguageModel, how: Engine):
    for text in texts(model, how, count=10, temperature=0.5, top_k=3, prefix="ab"):
        sampled = TOKENIZER.encode(text.text[2:]).tolist() + ([0] if text.complete else [])
        ids = [0, *TOKENIZER.encode("ab").tolist(), *sampled]
        with torch.inference_mode():
            logits, _ = model(torch.tensor([ids[:-1]]), model.initial_state(1))
            logits[..., TOKENIZER.unknown_id] = -torch.inf
        log_probs = torch.log_softmax(logits[0], -1)
        expected = sum(log_probs[n - 1, ids[n]].item() for n in range(3, len(ids)))
        rough = {"fp32": 1e-3, "bf16": 0.02, "int8": 0.05}[how.precision]
        assert text.log_prob_nats == pytest.approx(expected, abs=rough * len(sampled))


@engines
def test_document_scores_match_the_model(model: LanguageModel, how: Engine):
    documents = [np.array([*TOKENIZER.encode(text), 0]) for text in ("abc", "", "hagde fa" * 5)]
    expected = []
    for document in documents:
        inputs = torch.tensor([[0, *document[:-1].tolist()]])
        with torch.inference_mode():
            logits, _ = model(inputs, model.initial_state(1))
        log_probs = torch.log_softmax(logits[0], -1)
        expected.append(log_probs[range(len(document)), document].sum().item())
    assert log_probabilities(how, model, documents) == pytest.approx(expected, rel=0.02)


@engines
def test_the_first_tokens_follow_the_models_distribution(model: LanguageModel, how: Engine):
    count = 4000
    found = texts(model, how, count=count, max_length=1, temperature=0.7, batch_size=64)
    drawn = np.array([TOKENIZER.encode(text.text)[0] if text.text else 0 for text in found])
    with torch.inference_mode():
        logits, _ = model(torch.zeros(1, 1, dtype=torch.int64), model.initial_state(1))
        logits[..., TOKENIZER.unknown_id] = -torch.inf
    expected = torch.softmax(logits[0, 0] / 0.7, -1).numpy() * count
    observed = np.bincount(drawn, minlength=TOKENIZER.vocab_size)
    possible = expected > 0
    assert not observed[~possible].any()
    assert chisquare(observed[possible], expected[possible], sum_check=False).pvalue > 1e-4


@engines
def test_the_unknown_token_is_never_drawn(model: LanguageModel, how: Engine):
    assert not any("\ufffd" in t.text for t in texts(model, how, count=200, temperature=5.0))


@engines
def test_temperature_zero_makes_every_text_the_same(model: LanguageModel, how: Engine):
    assert len({text.text for text in texts(model, how, temperature=0.0)}) == 1


def test_a_prefix_outside_the_vocabulary_is_refused(model: LanguageModel):
    with pytest.raises(TokenizerError, match="'Z'"):
        texts(model, ENGINES[0], prefix="aZ")


def test_writing_a_line_leaves_the_model_unchanged(model: LanguageModel):
    model.train()
    line = write_line(model, TOKENIZER, seed=3)
    assert model.training and "\n" not in line
    assert line == write_line(model.eval(), TOKENIZER, seed=3)


@pytest.fixture
def _without_native_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("rnnlm.engine.running.native_available", lambda: False)
    return iter(())


@pytest.mark.usefixtures("_without_native_code")
def test_without_a_compiler_the_engine_gives_that_as_the_reason(model: LanguageModel):
    how = choose_engine(model, "int8")
    assert (how.kind, how.precision) == ("torch", "int8")
    assert "compiler" in how.reason
    assert choose_engine(model, "bf16").precision == "bf16"


def test_models_that_cannot_be_packed_use_their_own_step():
    model = build(tiny_experiment(model={"architecture": "mingru"}).model, TOKENIZER.vocab_size)
    how = choose_engine(model.eval(), "int8")
    assert (how.kind, how.precision) == ("model", "fp32")
    assert "mingru" in how.reason
    assert len(texts(model, how, count=20)) == 20
