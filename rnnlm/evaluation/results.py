"""The results of scoring, and the files that hold them; this module does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.canaries import ExposureRow
from rnnlm.metrics import Score
from rnnlm.tokens import TokenArrays

SCORES_FILE = "scores.json"
NATS_FILE = "nats.npz"
NGRAM_NATS_FILE = "ngram-nats.npz"
SCORED_FILE = "scored.npy"
CHARACTERS = "characters"
"""Name of the folder with the n-gram model of characters and its token shards. It is next to an
n-gram model whose tokens are not characters."""


@dataclass(frozen=True)
class Evaluation:
    """The score of a text: the nats of each of its pieces, in order.

    Attributes:
        nats: Negative log-likelihood of each piece, shape (pieces,).
        tokens: Number of tokens of each piece, at most `PIECE_TOKENS`, shape (pieces,).
        offsets: Index of the first piece of each document, followed by the total number of pieces;
            shape (documents + 1,).
        arrays: The documents that were scored.
        unknown: Number of tokens of each piece that the vocabulary lacks, shape (pieces,).
    """

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    offsets: NDArray[np.int64]
    arrays: TokenArrays
    unknown: NDArray[np.int64]

    @cached_property
    def document_nll_nats(self) -> NDArray[np.float64]:
        """Nats of each document, shape (documents,)."""
        return np.add.reduceat(self.nats, self.offsets[:-1])

    @property
    def score(self) -> Score:
        """The score of the whole text."""
        return Score(
            nll_nats=float(self.nats.sum()),
            tokens=len(self.arrays.tokens),
            characters=int(self.arrays.characters.sum()),
            bytes=int(self.arrays.bytes.sum()),
            unknown=int(self.unknown.sum()),
        )


class CanaryScore(BaseModel):
    """What a model remembers of a canary.

    Attributes:
        beginning: What precedes its secret.
        repeats: Number of times that it is in the training text.
        nll_nats: Negative log-likelihood of the whole line, with the boundary that ends it.
        rank: Its place among itself and `alternatives` random secrets; 1 if it is the likeliest.
        alternatives: Number of random secrets.
        exposure_bits: Its exposure; at least 0 and at most `most_bits`.
        most_bits: log₂ |R|, the entropy of a random secret.
        is_extracted: Whether the model writes the secret in full if it is given the beginning and
            always chooses the likeliest token.
    """

    model_config = ConfigDict(frozen=True)

    beginning: str
    repeats: int
    nll_nats: float
    rank: int
    alternatives: int
    exposure_bits: float
    most_bits: float
    is_extracted: bool


class TestScores(BaseModel):
    """Scores of a checkpoint on a test split.

    Attributes:
        uri: Folder with `scores.json` (nats of each document), `nats.npz` and `ngram-nats.npz`
            (nats of each piece too), and `scored.npy` (which documents of the test split were
            scored).
        figures: Figures by name:

            - those of `Score.figures()`
            - `bits_per_character_low` and `bits_per_character_high`: the 95% confidence interval
            - `ngram_bits_per_character`: score of an n-gram model of characters on the same text
            - `ngram_perplexity` and `own_ngram_bits_per_character`: scores of an n-gram model of
              the model's own tokens on the same text
            - `overlap_documents`: number of documents that were left out because the model's base
              (the pretrained model that training started from) has read them
        canaries: What the model remembers of each of its canaries (see `exposure`); empty if it was
            trained without canaries.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    figures: dict[str, int | float]
    canaries: tuple[CanaryScore, ...] = ()


def yardstick(ngram_path: Path) -> Path:
    """Return the path of the n-gram model of characters that belongs to a given n-gram model.

    If there is none next to the given model, that is one of characters itself; its own path is
    returned.
    """
    of_characters = ngram_path.parent / CHARACTERS / ngram_path.name
    return of_characters if of_characters.is_file() else ngram_path


def by_repeats(scores: Sequence[CanaryScore]) -> tuple[ExposureRow, ...]:
    """Return a summary for each number of times that canaries were planted, in ascending order."""
    rows = []
    for repeats in sorted({score.repeats for score in scores}):
        same = [score for score in scores if score.repeats == repeats]
        rows.append(
            ExposureRow(
                repeats=repeats,
                canaries=len(same),
                exposure_bits=round(mean(score.exposure_bits for score in same), 3),
                most_bits=round(same[0].most_bits, 3),
                extracted=sum(score.is_extracted for score in same),
            )
        )
    return tuple(rows)


def as_figures(rows: Sequence[ExposureRow]) -> dict[str, float]:
    """Return the figures of all rows, by name.

    The names are like `exposure_bits_planted_16` and `canaries_extracted_planted_16`.
    """
    figures: dict[str, float] = {}
    for row in rows:
        figures[f"exposure_bits_planted_{row.repeats}"] = row.exposure_bits
        figures[f"canaries_extracted_planted_{row.repeats}"] = row.extracted
    return figures
