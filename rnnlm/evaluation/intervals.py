"""Confidence intervals of scores: the bootstrap over documents, or over pieces of them."""

import numpy as np
from numpy.typing import NDArray

from rnnlm.evaluation.scoring import Evaluation
from rnnlm.metrics import NATS_PER_BIT

LEVEL = 0.95
RESAMPLES = 1000
FEWEST_DOCUMENTS = 20
"""Least number of documents to resample; with fewer, pieces of them are resampled instead."""
AT_ONCE = 1 << 24
"""Random numbers that are drawn at once."""


def bits_per_character_interval(evaluation: Evaluation) -> tuple[float, float]:
    """Return the 95% interval of the bits per character, over resampled documents.

    If there are fewer than `FEWEST_DOCUMENTS`, pieces of 1,024 tokens are resampled instead. The
    nats per token of each resample are scaled by the tokens per character of the whole text.

    Source: the percentile bootstrap, Efron 1979; for test sets of language, Koehn 2004.
    """
    from scipy.stats import bootstrap

    nats, tokens = _units(evaluation)
    score = evaluation.score
    scale = score.tokens / score.characters / NATS_PER_BIT
    if len(nats) < 2:
        return score.bits_per_character, score.bits_per_character

    def ratio(nats: NDArray[np.float64], tokens: NDArray[np.float64], axis: int) -> object:
        return nats.sum(axis) / tokens.sum(axis)

    result = bootstrap(
        (nats, tokens),
        ratio,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(nats)),
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(result.low * scale), float(result.high * scale)


def _units(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths = evaluation.arrays.lengths
    if len(lengths) >= FEWEST_DOCUMENTS:
        return evaluation.document_nll_nats, lengths.astype(np.float64)
    return evaluation.nats, evaluation.tokens.astype(np.float64)
