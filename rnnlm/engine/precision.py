"""The lowest precision a model may generate at, measured on held-out text after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from rnnlm.engine import PRECISIONS, Precision, choose_engine, log_probabilities
from rnnlm.engine.packing import can_pack
from rnnlm.models import LanguageModel
from rnnlm.tokens import TokenArrays

MOST_NATS = 0.0005
"""Most nats per token that a lower precision may cost."""
MOST_TOKENS = 200_000
"""Tokens that are scored at each precision: the first of the split."""
PIECE = 1_000
"""Tokens after which a document is cut. Each piece is scored from the initial state, so that pieces
are scored in parallel; this does not affect the comparison."""


class PrecisionChoice(BaseModel):
    """The chosen precision, and what each precision costs.

    Attributes:
        chosen: The lowest precision that costs at most `MOST_NATS`.
        cost_nats: Nats per token that each precision loses against 32 bits; negative if it gains.
        tokens: Number of tokens that this was measured on.
    """

    model_config = ConfigDict(frozen=True)

    chosen: Precision
    cost_nats: dict[Precision, float]
    tokens: int

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> PrecisionChoice | None:
        """Return the choice recorded in a checkpoint's facts, or None."""
        return cls.model_validate(facts["precision"]) if "precision" in facts else None


def choose_precision(model: LanguageModel, arrays: TokenArrays) -> PrecisionChoice | None:
    """Measure what each precision costs, and choose one.

    Returns None if the model cannot be packed or there is no held-out text.

    Args:
        model: In eval mode, on a CPU; not modified.
        arrays: Held-out text.
    """
    if not can_pack(model) or not len(arrays.tokens):
        return None
    scored = arrays.first(MOST_TOKENS)
    pieces = [
        scored.tokens[start : min(start + PIECE, stop)].astype(np.int32)
        for begin, stop in zip(scored.offsets[:-1], scored.offsets[1:], strict=True)
        for start in range(begin, stop, PIECE)
    ]
    tokens = len(scored.tokens)
    sums = {
        precision: float(log_probabilities(choose_engine(model, precision), model, pieces).sum())
        for precision in PRECISIONS
    }
    costs: dict[Precision, float] = {
        precision: round((sums["fp32"] - total) / tokens, 6) for precision, total in sums.items()
    }
    chosen = next(precision for precision, cost in costs.items() if cost <= MOST_NATS)
    return PrecisionChoice(chosen=chosen, cost_nats=costs, tokens=tokens)
