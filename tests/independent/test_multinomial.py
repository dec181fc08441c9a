"""Test the frequencies of drawn tokens against `torch.multinomial`, by a χ² test of two samples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from rnnlm.config import GenerationConfig
from rnnlm.engine.drawing import generate_texts
from rnnlm.models import LanguageModel, build
from rnnlm.sampling import draw_settings, sample, uniforms
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.tokens import BOUNDARY_ID
from tests.conftest import tiny_experiment

Draw = Callable[[LanguageModel, str, GenerationConfig], NDArray[np.int64]]
DRAWS = 12_000
TOKENIZER = CharacterTokenizer("abcdefghijklmnop")
SETTINGS = {
    "plain": {},
    "cooler": {"temperature": 0.6},
    "hotter": {"temperature": 1.7},
    "top-k": {"top_k": 6},
    "top-p": {"top_p": 0.8},
    "all": {"temperature": 1.4, "top_k": 12, "top_p": 0.9, "min_p": 0.04},
}


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(3)
    model = build(tiny_experiment().model, TOKENIZER.vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model


def expected(logits: torch.Tensor, settings: dict[str, float]) -> torch.Tensor:
    """Return the probabilities after filtering, as papers define it, by sorting and summing."""
    probabilities = torch.softmax(logits.double() / settings.get("temperature", 1.0), 0)
    ranked = probabilities.sort(descending=True).indices.tolist()
    kept = ranked[: int(settings.get("top_k", len(ranked)))]
    probabilities = probabilities / probabilities[kept].sum()
    nucleus: list[int] = []
    for token in kept:
        if sum(probabilities[nucleus].tolist()) < settings.get("top_p", 1.0):
            nucleus.append(token)
    least = settings.get("min_p", 0.0) * probabilities.max()
    result = torch.zeros_like(probabilities)
    for token in nucleus:
        if probabilities[token] >= least:
            result[token] = probabilities[token]
    return result


def pvalue(drawn: NDArray[np.int64], probabilities: torch.Tensor) -> float:
    """Return the p-value of the tokens and a sample of torch's having the same distribution."""
    generator = torch.Generator().manual_seed(11)
    theirs = torch.multinomial(probabilities, DRAWS, replacement=True, generator=generator)
    table = np.stack([np.bincount(one, minlength=TOKENIZER.vocab_size) for one in (drawn, theirs)])
    assert not table[:, (probabilities == 0).numpy()].any()
    rare = table.sum(0) < 10  # χ² needs counts of about five; add the rarer tokens up
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(1)])
    return float(chi2_contingency(table[:, table.any(0)]).pvalue)


def by_engine(model: LanguageModel, prefix: str, config: GenerationConfig) -> NDArray[np.int64]:
    """Return the first tokens of texts that native code draws, or torch if there is none."""
    config = config.model_copy(update={"prefix": prefix})
    texts = generate_texts(model, TOKENIZER, config, 0, DRAWS)
    return np.array(
        [(*TOKENIZER.encode(text.text[len(prefix) :]), BOUNDARY_ID)[0] for text in texts]
    )


def by_function(model: LanguageModel, prefix: str, config: GenerationConfig) -> NDArray[np.int64]:
    """Return tokens that `rnnlm.sampling` draws."""
    positions = torch.full((DRAWS,), len(prefix))
    uniform = uniforms(config.seed, torch.arange(DRAWS), positions)
    logits = logits_after(model, prefix).expand(DRAWS, -1)
    return sample(logits, uniform, draw_settings(config)).numpy()


def logits_after(model: LanguageModel, prefix: str) -> torch.Tensor:
    """Return the logits of the token after a prefix, shape (vocab,); `<unk>` is never drawn."""
    read = torch.tensor([[BOUNDARY_ID, *TOKENIZER.encode(prefix).tolist()]])
    with torch.no_grad():
        logits = model(read, model.initial_state(1))[0][0, -1].clone()
    assert TOKENIZER.unknown_id is not None
    logits[TOKENIZER.unknown_id] = -1e30
    return logits


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("draw", [by_engine, by_function])
def test_tokens_are_as_frequent_as_torchs(model: LanguageModel, draw: Draw, name: str):
    values = {"temperature": 1.0, "max_length": 1, "batch_size": 256, "seed": 5, **SETTINGS[name]}
    config = GenerationConfig.model_validate(values)
    for prefix in ("", "ae"):
        probabilities = expected(logits_after(model, prefix), SETTINGS[name])
        assert (probabilities > 0).sum() > 2
        assert pvalue(draw(model, prefix, config), probabilities) > 1e-3
