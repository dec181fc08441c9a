"""Test texts for many prompts at once, as a served model draws them."""

from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint
from rnnlm.engine.loading import load_sampler
from rnnlm.engine.opening import Sampler
from rnnlm.errors import ConfigError, GenerationError, TokenizerError
from rnnlm.generation.prompt import attributes_of
from rnnlm.generation.prompting import Prompt, answer
from rnnlm.generation.streaming import settings_for, stream
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment
from tests.generation.test_prompt import both_ways, conditioned_experiment

SHORT = {"max_length": 12, "count": 1}


@pytest.fixture
def sampler(model: Path, tmp_path: Path) -> Sampler:
    return load_sampler(model, tmp_path / "packed")


@pytest.fixture
def conditioned(tmp_path: Path) -> Sampler:
    torch.manual_seed(1)
    experiment, tokenizer = conditioned_experiment(), CharacterTokenizer("abc 123\t")
    path = tmp_path / "conditioned.safetensors"
    checkpoint.save(path, build(experiment.model, tokenizer.vocab_size), tokenizer, experiment, {})
    return load_sampler(path, tmp_path / "packed")


def test_every_text_begins_with_its_prompt(sampler: Sampler):
    prompts = [Prompt("ab"), Prompt(""), Prompt("c 1"), Prompt("ab")]
    answers = answer(sampler, prompts, {**SHORT, "count": 3})
    assert [len(texts) for texts in answers] == [3] * 4
    for prompt, texts in zip(prompts, answers, strict=True):
        assert all(text.startswith(prompt.text) for text in texts)


def test_equal_prompts_get_different_texts_unless_a_seed_is_given(sampler: Sampler):
    prompts = [Prompt("a")] * 20
    assert len({texts[0] for texts in answer(sampler, prompts, SHORT)}) > 10
    assert answer(sampler, prompts, SHORT) != answer(sampler, prompts, SHORT)
    seeded = answer(sampler, prompts, {**SHORT, "seed": 3})
    assert len({texts[0] for texts in seeded}) == 1
    assert seeded != answer(sampler, prompts, {**SHORT, "seed": 4})


def test_with_a_seed_a_text_does_not_depend_on_the_other_prompts(sampler: Sampler):
    changes = {**SHORT, "seed": 3, "count": 2}
    alone = answer(sampler, [Prompt("b")], changes)[0]
    assert answer(sampler, [Prompt("a"), Prompt("b"), Prompt("")], changes)[1] == alone
    assert answer(sampler, [Prompt("b")], {**changes, "count": 1})[0] == alone[:1]


def test_no_prompt_gets_no_texts(sampler: Sampler):
    assert answer(sampler, [], SHORT) == []


@pytest.mark.parametrize("text", ["", "b"])
def test_with_a_seed_the_texts_are_those_of_the_command_with_the_same_attributes(
    conditioned: Sampler, text: str
):
    given = {"brand": "a", "year": "1"}
    changes = {**SHORT, "seed": 5, "count": 3}
    config = settings_for(conditioned, {**changes, "prefix": text, "given": given})
    drawn = [each.text for each in stream(conditioned, config)]
    assert answer(conditioned, [Prompt(text, tuple(given.items()))], changes) == [drawn]


def test_prompts_with_and_without_attributes_share_a_batch(conditioned: Sampler):
    given = (("brand", "a"), ("year", "1"))
    with_given, without = answer(conditioned, [Prompt("b", given), Prompt()], SHORT)
    assert with_given[0].startswith("b")
    assert len(with_given) == len(without) == 1


def test_the_attributes_that_a_model_takes_are_known():
    assert attributes_of(conditioned_experiment()) == ("brand", "year")
    assert attributes_of(both_ways()) == ("color",)
    assert attributes_of(tiny_experiment()) == ()


@pytest.mark.parametrize(
    ("prompt", "changes", "error", "said"),
    [
        (Prompt("Ä"), {}, TokenizerError, "the prompt 'Ä' has characters that the model never saw"),
        (Prompt("a", (("brand", "b"),)), {}, GenerationError, "not trained with the attribute"),
        (Prompt("a"), {"temperature": -1.0}, ConfigError, "temperature = -1"),
        (Prompt("a"), {"count": 0}, ConfigError, "count = 0"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    prompt: Prompt, changes: dict, error: type[Exception], said: str, sampler: Sampler
):
    with pytest.raises(error, match=said) as caught:
        answer(sampler, [prompt], {**SHORT, **changes})
    assert "\n" not in str(caught.value)
