"""Test the frequencies of drawn tokens against `torch.multinomial`, by a χ² test of two samples."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from rnnlm.config import GenerationConfig
from rnnlm.engine.drawing import generate_texts
from rnnlm.engine.running import Engine
from rnnlm.kernels.native import native_available
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment

DRAWS = 30_000
TOKENIZER = CharacterTokenizer("abcdefghijklmnop")
SETTINGS = {
    "plain": {},
    "cooler": {"temperature": 0.6},
    "hotter": {"temperature": 1.7},
    "top-k": {"top_k": 6},
    "top-p": {"top_p": 0.8},
    "all": {"temperature": 1.4, "top_k": 12, "top_p": 0.9, "min_p": 0.04},
}
ENGINES = [Engine("model", "fp32"), Engine("torch", "fp32")]
ENGINES += [Engine("native", "fp32")] if native_available() else []


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


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.kind)
def test_first_and_second_tokens_are_as_frequent_as_torchs(
    model: LanguageModel, engine: Engine, name: str
):
    settings = SETTINGS[name]
    config = GenerationConfig.model_validate(
        {"temperature": 1.0, "max_length": 2, "batch_size": 256, "seed": 5, **settings}
    )
    read = torch.tensor([[0, *TOKENIZER.encode("c").tolist()]])
    with torch.no_grad():
        logits = model(read, model.initial_state(1))[0][0].clone()
    assert TOKENIZER.unknown_id is not None
    logits[:, TOKENIZER.unknown_id] = -torch.inf  # the engine never draws it
    texts = [*generate_texts(model, TOKENIZER, config, 0, DRAWS, engine)]
    firsts = [(*TOKENIZER.encode(text.text[:1]), 0)[0] for text in texts]
    assert pvalue(np.array(firsts), expected(logits[0], settings)) > 1e-3
    config = config.model_copy(update={"prefix": "c", "max_length": 1})
    texts = [*generate_texts(model, TOKENIZER, config, 0, DRAWS, engine)]
    seconds = [(*TOKENIZER.encode(text.text[1:]), 0)[0] for text in texts]
    assert pvalue(np.array(seconds), expected(logits[1], settings)) > 1e-3
