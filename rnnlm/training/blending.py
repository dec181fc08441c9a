"""Blending: interpolation between a training's initial weights and its trained weights.

A pretrained model (a base) that is trained further on a short text overfits to that text. On the
straight line from the base's weights to the trained weights, the validation loss is often lowest
somewhat before the trained weights.

Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
"""

from pathlib import Path

import torch

from rnnlm.bases.weights import start_from
from rnnlm.checkpoint import LoadedModel
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import NeuralLanguageModel, build
from rnnlm.tokens import TokenArrays

STEP = 0.1
FIRST, LEAST = 0.9, 0.3
"""Largest and smallest share of the trained weights to try.

The search goes from `FIRST` down to `LEAST` in steps of `STEP`, as long as validation improves.
"""


def blend(loaded: LoadedModel, start: Path, validation: TokenArrays) -> dict[str, float]:
    """Replace a model's weights by the blend that scores best on the validation tokens.

    A blend is share · trained + (1 − share) · initial.

    Args:
        loaded: The trained model; its weights are mutated.
        start: Checkpoint whose weights its training started from.
        validation: Tokens that the blend with each share is scored on.

    Returns:
        The blended model's metrics on `validation`, by name, and `trained_share`, the share of the
        trained weights that was chosen.

    Raises:
        CheckpointError: `start` belongs to another network.
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
