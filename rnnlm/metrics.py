"""Perplexity, bits per character and bits per byte, computed from nats."""

import math
from dataclasses import dataclass

NATS_PER_BIT = math.log(2.0)


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text, as sums over its tokens.

    Adding the scores of a text's parts gives the score of the whole text.

    Attributes:
        nll_nats: Sum of the negative log-likelihoods of all predicted tokens, in nats, including
            the boundary that ends each document.
        tokens: Number of predicted tokens, boundaries included.
        characters: Number of characters of the text; boundaries are not characters.
        bytes: Number of bytes of the text in UTF-8.
        unknown: Number of tokens for which the vocabulary has no entry.
    """

    nll_nats: float
    tokens: int
    characters: int
    bytes: int
    unknown: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.nll_nats + other.nll_nats,
            self.tokens + other.tokens,
            self.characters + other.characters,
            self.bytes + other.bytes,
            self.unknown + other.unknown,
        )

    @property
    def nll_nats_per_token(self) -> float:
        """Mean negative log-likelihood of a token, in nats."""
        return self.nll_nats / self.tokens

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log-likelihood per token."""
        return perplexity(self.nll_nats_per_token)

    @property
    def bits_per_character(self) -> float:
        """All bits, including those of the boundaries, divided by the characters of the text."""
        return self.nll_nats / NATS_PER_BIT / self.characters

    @property
    def bits_per_byte(self) -> float:
        """All bits divided by the text's UTF-8 bytes; comparable across tokenizers and scripts."""
        return self.nll_nats / NATS_PER_BIT / self.bytes

    def metrics(self, split: str) -> dict[str, float]:
        """Return the figures that are plotted as curves; each name begins with the split's."""
        return {
            f"{split}/nll_nats_per_token": self.nll_nats_per_token,
            f"{split}/bits_per_character": self.bits_per_character,
            f"{split}/perplexity": self.perplexity,
        }

    def figures(self) -> dict[str, int | float]:
        """Return all figures by name; the names state the units."""
        return {
            "nll_nats_per_token": self.nll_nats_per_token,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
            "bytes": self.bytes,
            "unknown": self.unknown,
        }


def perplexity(nll_nats_per_token: float) -> float:
    """Return exp(nats per token), or infinity where that overflows."""
    try:
        return math.exp(nll_nats_per_token)
    except OverflowError:
        return math.inf
