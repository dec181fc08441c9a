"""Whether one model predicts a text better than another: paired, document by document."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.evaluation.intervals import AT_ONCE, FEWEST_DOCUMENTS, RESAMPLES
from rnnlm.evaluation.scoring import Evaluation
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.storage import atomic_path


class TextNats(NamedTuple):
    """What a text scores, by document and by piece; kept beside a score for comparisons.

    Attributes:
        documents: Nats of each document, shape (documents,).
        characters: Characters of each document, shape (documents,).
        pieces: Nats of each piece of the documents, shape (pieces,).
        piece_tokens: Tokens of each piece, shape (pieces,).
    """

    documents: NDArray[np.float64]
    characters: NDArray[np.int64]
    pieces: NDArray[np.float64]
    piece_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """Return an evaluation's nats."""
        characters = evaluation.arrays.characters.astype(np.int64)
        documents = evaluation.document_nll_nats
        return cls(documents, characters, evaluation.nats, evaluation.tokens)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in cls._fields})

    def save(self, path: Path) -> None:
        """Write the arrays, whole or not at all.

        Raises:
            StorageError: The file cannot be written.
        """
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self._asdict())

    @property
    def bits_per_character(self) -> float:
        """All bits over all characters."""
        return float(self.documents.sum() / NATS_PER_BIT / self.characters.sum())


class Comparison(BaseModel):
    """How much better one model predicts a text than another.

    Attributes:
        better_by: Bits per character that the first needs fewer; negative where it needs more.
        low: Lower end of the interval of that, at the level asked for.
        high: Upper end.
        confidence: Share of the resamples in which the first is better.
        units: Documents, or pieces of them, that were resampled.
    """

    model_config = ConfigDict(frozen=True)

    better_by: float
    low: float
    high: float
    confidence: float
    units: int


def compare(first: TextNats, second: TextNats, level: float) -> Comparison:
    """Compare two models on the same documents by the paired bootstrap.

    Documents are resampled; where there are few, their pieces of 1,024 tokens are, if both models
    cut the text into the same tokens. A single unit says nothing of chance: its interval is a
    point, and all resamples agree.

    Args:
        first: The model that is to be better.
        second: The one it is compared with, on the same documents.
        level: Of the interval, two-sided.

    Raises:
        ValueError: They are of different documents.

    Source: paired bootstrap resampling, Koehn 2004, "Statistical significance tests for machine
    translation evaluation".
    """
    if not np.array_equal(first.characters, second.characters):
        raise ValueError("the scores are of different documents")
    gains, weights = second.documents - first.documents, first.characters.astype(np.float64)
    same_pieces = np.array_equal(first.piece_tokens, second.piece_tokens)
    if len(gains) < FEWEST_DOCUMENTS and same_pieces:
        gains = second.pieces - first.pieces
        weights = first.piece_tokens * (weights.sum() / first.piece_tokens.sum())
    better_by = float(gains.sum() / weights.sum() / NATS_PER_BIT)
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


def _resampled(gains: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ gains / Σ weights of so many resamples of the units, shape (RESAMPLES,)."""
    generator, units = np.random.default_rng(0), len(gains)
    at_once = max(1, AT_ONCE // units)
    ratios = []
    for start in range(0, RESAMPLES, at_once):
        chosen = generator.integers(units, size=(min(at_once, RESAMPLES - start), units))
        ratios.append(gains[chosen].sum(axis=1) / weights[chosen].sum(axis=1))
    return np.concatenate(ratios)
