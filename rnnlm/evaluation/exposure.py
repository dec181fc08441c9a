"""Measure what a model remembers of the canaries in its training text: exposure and extraction.

The *exposure* of a canary is log₂ |R| − log₂ rank, where R is the set of all possible secrets, and
the rank is the canary's place among them if they are sorted by the model's probability of the whole
line. It is the number of bits by which the model shortens the search for the secret.

R is too large to score. The rank is therefore estimated as |R| times the share of the secrets that
are at least as likely as the canary. This share is the cumulative distribution function of a
skew-normal distribution, which is fitted to the nats of random secrets with the same beginning.

Source: Carlini et al. 2019, The Secret Sharer, sections 4.2 and 4.3.
"""

import math
import random
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnlm.canaries import Canary, canaries_of, model_text, random_secret
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig
from rnnlm.dataset import from_texts
from rnnlm.engine.drawing import continue_texts
from rnnlm.evaluation.results import CanaryScore
from rnnlm.evaluation.scoring import evaluate
from rnnlm.progress import OnProgress, Progress, silent

ALTERNATIVES = 1000
"""Number of random secrets that each canary is compared with."""
_MOST_CONTINUED = 64


def score_canaries(
    loaded: LoadedModel, on_progress: OnProgress = silent, alternatives: int = ALTERNATIVES
) -> tuple[CanaryScore, ...]:
    """Return what a model remembers of each of its canaries; empty if it was trained without.

    Args:
        loaded: The model.
        on_progress: Called with the number of canaries scored.
        alternatives: Number of random secrets that each canary is compared with.
    """
    canaries = canaries_of(loaded.experiment, loaded.tokenizer)
    if not canaries:
        return ()
    extracted = _extracted(loaded, canaries)
    scores = []
    for number, canary in enumerate(canaries):
        chance = random.Random(f"alternatives {canary.secret}")
        secrets = [random_secret(chance, canary.symbols) for _ in range(alternatives)]
        own, *others = _nats(loaded, canary.beginning, [canary.secret, *secrets]).tolist()
        scores.append(
            CanaryScore(
                beginning=canary.beginning,
                repeats=canary.repeats,
                nll_nats=own,
                rank=1 + sum(other <= own for other in others),
                alternatives=alternatives,
                exposure_bits=min(canary.entropy_bits, _bits_saved(own, np.array(others))),
                most_bits=canary.entropy_bits,
                is_extracted=extracted[number],
            )
        )
        on_progress(Progress(number + 1, len(canaries), "canaries"))
    return tuple(scores)


def _nats(loaded: LoadedModel, beginning: str, secrets: Sequence[str]) -> NDArray[np.float64]:
    """Return the nats of the line with each secret, shape (secrets,)."""
    condition = loaded.experiment.corpus.condition
    texts = [model_text(f"{beginning} {secret}", condition) for secret in secrets]
    return evaluate(loaded.model, from_texts(loaded.tokenizer, texts)).document_nll_nats


def _bits_saved(own: float, others: NDArray[np.float64]) -> float:
    """Return −log₂ of the estimated share of secrets that are at least as likely as a canary.

    Args:
        own: Nats of the canary.
        others: Nats of random secrets, shape (secrets,).
    """
    from scipy.stats import skewnorm

    with warnings.catch_warnings():  # far from the data, its numerical integration is not exact
        warnings.simplefilter("ignore")
        log_share = float(skewnorm.logcdf(own, *skewnorm.fit(others)))
    return math.inf if math.isnan(log_share) else max(0.0, -log_share / math.log(2.0))


def _extracted(loaded: LoadedModel, canaries: Sequence[Canary]) -> list[bool]:
    config = GenerationConfig(temperature=0.0, max_length=_MOST_CONTINUED)
    condition = loaded.experiment.corpus.condition
    begun = [model_text(canary.beginning, condition) for canary in canaries]
    texts = continue_texts(loaded, begun, config)
    return [canary.text in text for canary, text in zip(canaries, texts, strict=True)]
