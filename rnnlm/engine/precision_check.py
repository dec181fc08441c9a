"""Choose the lowest precision that a model may generate texts at.

After training, held-out text is scored at each precision. The lowest precision (fewest bits) that
predicts the text almost as well as 32 bits is chosen.
"""

import numpy as np

from rnnlm.engine.opening import Precision
from rnnlm.engine.packing import can_pack
from rnnlm.engine.precision import PrecisionChoice
from rnnlm.engine.running import PRECISIONS, choose_engine, log_probabilities
from rnnlm.models import LanguageModel
from rnnlm.tokens import TokenArrays

MOST_NATS = 0.0005
"""Most nats per token that a lower precision may lose compared with 32 bits."""
MOST_TOKENS = 200_000
"""Number of tokens that are scored at each precision, from the beginning of the split."""
PIECE = 1_000
"""Documents are cut into pieces of this many tokens. The model scores each piece from its initial
state, so that pieces are scored in parallel; this does not affect the comparison."""


def choose_precision(model: LanguageModel, arrays: TokenArrays) -> PrecisionChoice | None:
    """Measure how many nats per token each precision loses, and choose a precision.

    Returns None if the model cannot be packed (see `rnnlm.engine.packing`) or there is no held-out
    text.

    Args:
        model: The model, in eval mode and on a CPU; not modified.
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
