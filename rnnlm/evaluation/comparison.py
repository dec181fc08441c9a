"""Compare how well two models predict the same text, by the paired bootstrap over documents."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.evaluation.intervals import AT_ONCE, FEWEST_DOCUMENTS, RESAMPLES
from rnnlm.evaluation.results import Evaluation
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.saved import read_arrays
from rnnlm.storage import atomic_path

NATS_PER_UNKNOWN_BYTE = float(np.log(256))
"""Nats that each byte of an unknown token costs, as if all 256 bytes were equally likely."""


class TextNats(NamedTuple):
    """Nats of a text, by document and by piece; stored with the scores, for comparisons.

    Nats are the negative log-likelihood under a model. A piece is a run of at most 1,024 tokens of
    a document.

    The unknown token is cheap to predict, whichever word it replaces, so a model with a poorer
    vocabulary would look better. Therefore the nats here also include the spelling of each unknown
    token: as many bytes as the text's tokens have on average, at `NATS_PER_UNKNOWN_BYTE` each.

    Attributes:
        documents: Nats of each document, shape (documents,).
        characters: Number of characters of each document, shape (documents,).
        pieces: Nats of each piece of the documents, shape (pieces,).
        piece_tokens: Number of tokens of each piece, shape (pieces,).
    """

    documents: NDArray[np.float64]
    characters: NDArray[np.int64]
    pieces: NDArray[np.float64]
    piece_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """Return the nats of an evaluation, including the spelling of unknown tokens."""
        arrays = evaluation.arrays
        spelling = NATS_PER_UNKNOWN_BYTE * float(arrays.bytes.sum()) / len(arrays.tokens)
        pieces = evaluation.nats + spelling * evaluation.unknown
        documents = np.add.reduceat(pieces, evaluation.offsets[:-1])
        return cls(documents, arrays.characters.astype(np.int64), pieces, evaluation.tokens)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote."""
        return cls(*read_arrays(path, cls._fields, "score the checkpoint again"))

    def save(self, path: Path) -> None:
        """Write the arrays atomically.

        Raises:
            StorageError: The file cannot be written.
        """
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self._asdict())

    @property
    def bits_per_character(self) -> float:
        """Total bits divided by total characters."""
        return float(self.documents.sum() / NATS_PER_BIT / self.characters.sum())


class Comparison(BaseModel):
    """The result of comparing how well two models predict a text.

    Attributes:
        better_by: Bits per character that the first model needs less than the second; negative if
            it needs more.
        low: Lower end of the confidence interval of `better_by`.
        high: Upper end of this interval.
        confidence: Share of the resamples in which the first model is better.
        units: Number of documents, or of pieces of documents, that were resampled.
    """

    model_config = ConfigDict(frozen=True)

    better_by: float
    low: float
    high: float
    confidence: float
    units: int


def compare(first: TextNats, second: TextNats, level: float) -> Comparison:
    """Compare two models on the same documents by the paired bootstrap.

    Documents are resampled. If there are fewer than 20 documents, their pieces of 1,024 tokens are
    resampled instead, provided that the pieces of both models have the same numbers of tokens.

    If there are fewer than 20 of these units (documents or pieces), the bootstrap is overconfident:
    with two units, it would declare one of two equal models better in a quarter of the cases. Then
    Student's t distribution is used instead. From a single unit, the influence of chance cannot be
    estimated, so the interval is infinite and the confidence is 0.5.

    Args:
        first: Scores of the model that is expected to be better.
        second: Scores of the model it is compared with, on the same documents.
        level: Two-sided confidence level of the interval.

    Raises:
        ValueError: The scores are of different documents.

    Source: paired bootstrap resampling, Koehn 2004, "Statistical significance tests for machine
    translation evaluation"; for few units the ratio estimate with its linearised error, Cochran
    1977, "Sampling Techniques", section 6.3.
    """
    if not np.array_equal(first.characters, second.characters):
        raise ValueError("the two scores are of different documents")
    gains, weights = second.documents - first.documents, first.characters.astype(np.float64)
    same_pieces = np.array_equal(first.piece_tokens, second.piece_tokens)
    if len(gains) < FEWEST_DOCUMENTS and same_pieces:
        gains = second.pieces - first.pieces
        weights = first.piece_tokens * (weights.sum() / first.piece_tokens.sum())
    better_by = float(gains.sum() / weights.sum() / NATS_PER_BIT)
    if len(gains) < FEWEST_DOCUMENTS:
        return _of_few(gains, weights, better_by, level)
    resampled = _resampled(gains, weights) / NATS_PER_BIT
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Comparison(
        better_by=better_by,
        low=float(low),
        high=float(high),
        confidence=float((resampled > 0.0).mean()),
        units=len(gains),
    )


def _of_few(
    gains: NDArray[np.float64], weights: NDArray[np.float64], better_by: float, level: float
) -> Comparison:
    """Return the comparison by Student's t distribution, for few units (documents or pieces).

    Args:
        gains: Nats that the first model saves on each unit, shape (units,).
        weights: Number of characters of each unit, shape (units,).
        better_by: Bits per character that the first model saves on the whole text.
        level: Two-sided confidence level of the interval.
    """
    from scipy.stats import t

    units = len(gains)
    rests = (gains / NATS_PER_BIT - better_by * weights) / weights.mean()
    error = float(rests.std(ddof=1) / np.sqrt(units)) if units > 1 else np.inf
    if error == 0.0:
        sure = float(better_by > 0.0)
        return Comparison(
            better_by=better_by, low=better_by, high=better_by, confidence=sure, units=units
        )
    reach = error * float(t.ppf((1.0 + level) / 2.0, max(1, units - 1)))
    return Comparison(
        better_by=better_by,
        low=better_by - reach,
        high=better_by + reach,
        confidence=float(t.cdf(better_by / error, max(1, units - 1))),
        units=units,
    )


def _resampled(gains: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resample the units; return Σ gains / Σ weights of each resample, shape (RESAMPLES,).

    Args:
        gains: Nats that the first model saves on each unit, shape (units,).
        weights: Number of characters of each unit, shape (units,).
    """
    generator, units = np.random.default_rng(0), len(gains)
    at_once = max(1, AT_ONCE // units)
    ratios = []
    for start in range(0, RESAMPLES, at_once):
        chosen = generator.integers(units, size=(min(at_once, RESAMPLES - start), units))
        ratios.append(gains[chosen].sum(axis=1) / weights[chosen].sum(axis=1))
    return np.concatenate(ratios)
