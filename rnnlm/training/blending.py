"""The weights that a training began with, mixed back into what came of them.

A short text teaches a base more of itself than other text of its kind bears out. A straight line
leads from the base's weights to the trained ones, and validation is often best some way before its
end.

Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
"""

from pathlib import Path

import torch

from rnnlm.base import start_from
from rnnlm.checkpoint import LoadedModel
from rnnlm.evaluation import evaluate
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.tokens import TokenArrays

STEP = 0.1
FIRST, LEAST = 0.9, 0.3
"""Shares of the trained weights that are tried: from the first down, while validation gains."""


def blend(loaded: LoadedModel, start: Path, validation: TokenArrays) -> dict[str, float]:
    """Mix weights in the share that validation likes best.

    Args:
        loaded: The trained model; its weights are mutated.
        start: The checkpoint whose weights its training began with.
        validation: What decides.

    Returns:
        The model's score on `validation`, and `trained_share`, that of the trained weights in it.

    Raises:
        CheckpointError: `start` is of another network.
    """
    begun = build(loaded.experiment.model, loaded.tokenizer.vocab_size)
    assert isinstance(begun, NeuralLanguageModel)
    start_from(start, begun, loaded.tokenizer)
    first, last = begun.state_dict(), {**loaded.model.state_dict()}
    last = {name: value.clone() for name, value in last.items()}

    def mix(share: float) -> None:
        mixed = {name: torch.lerp(first[name], value, share) for name, value in last.items()}
        loaded.model.load_state_dict(mixed)

    best, score, share = 1.0, evaluate(loaded.model, validation).score, FIRST
    while share >= LEAST:
        mix(share)
        found = evaluate(loaded.model, validation).score
        if found.nll_nats >= score.nll_nats:
            break
        best, score = share, found
        share = round(share - STEP, 2)
    mix(best)
    return {**score.figures(), "trained_share": best}
