"""The precision that was chosen for a model's texts, as a checkpoint records it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlm.engine.opening import Precision


class PrecisionChoice(BaseModel):
    """The chosen precision, and how much worse the model predicts text at each precision.

    Attributes:
        chosen: The lowest precision that loses almost nothing (see `rnnlm.engine.precision_check`).
        cost_nats: Nats per token that each precision loses compared with 32 bits; negative if it
            predicts the text better.
        tokens: Number of tokens that this was measured on.
    """

    model_config = ConfigDict(frozen=True)

    chosen: Precision
    cost_nats: dict[Precision, float]
    tokens: int

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> PrecisionChoice | None:
        """Return the choice that is recorded in a checkpoint's facts; None if there is none."""
        return cls.model_validate(facts["precision"]) if "precision" in facts else None
