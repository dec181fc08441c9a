"""Confidence intervals of scores, by the bootstrap over documents or over pieces of documents."""

import numpy as np
from numpy.typing import NDArray

from rnnlm.evaluation.results import Evaluation
from rnnlm.metrics import NATS_PER_BIT

LEVEL = 0.95
RESAMPLES = 1000
FEWEST_DOCUMENTS = 20
"""Least number of documents to resample. With fewer documents, their pieces of 1,024 tokens are
resampled instead."""
AT_ONCE = 1 << 24
"""Number of random numbers that are drawn at once, to limit memory."""


def bits_per_character_interval(evaluation: Evaluation) -> tuple[float, float]:
    """Return the 95% confidence interval of the bits per character, by resampling documents.

    If there are fewer than `FEWEST_DOCUMENTS`, their pieces of 1,024 tokens are resampled instead.
    The nats per token of each resample are converted to bits per character by the number of tokens
    per character of the whole text.

    Source: the percentile bootstrap, Efron 1979; its use for test sets of text, Koehn 2004.
    """
    from scipy.stats import bootstrap

    nats, tokens = _units(evaluation)
    score = evaluation.score
    scale = score.tokens / score.characters / NATS_PER_BIT
    if len(nats) < 2:
        return score.bits_per_character, score.bits_per_character

    def ratio(nats: NDArray[np.float64], tokens: NDArray[np.int64], axis: int) -> object:
        return nats.sum(axis) / tokens.sum(axis)

    result = bootstrap(
        (nats, tokens),
        ratio,
        paired=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(nats)),
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(result.low * scale), float(result.high * scale)


def _units(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    lengths = evaluation.arrays.lengths
    if len(lengths) >= FEWEST_DOCUMENTS:
        return evaluation.document_nll_nats, lengths
    return evaluation.nats, evaluation.tokens
