"""Shared code of the n-gram tests: tiny sets of documents, and a slow reference implementation."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rnnlm.tokens import BOUNDARY_ID, TokenArrays

VOCAB_SIZE = 5
Document = Sequence[int]
DOCUMENTS = st.lists(st.lists(st.integers(1, VOCAB_SIZE - 1), max_size=12), min_size=1, max_size=8)


def arrays_of(documents: Sequence[Document]) -> TokenArrays:
    """Return documents as token arrays; a boundary is added after each document."""
    ended = [[*document, BOUNDARY_ID] for document in documents]
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    return TokenArrays(
        tokens=np.array([token for document in ended for token in document], dtype=np.uint8),
        offsets=np.concatenate([[0], np.cumsum(lengths + 1)]).astype(np.int64),
        characters=lengths,
        bytes=lengths,
    )


class SlowNGrams:
    """Interpolated modified Kneser–Ney n-grams, computed from the definition in exact fractions."""

    def __init__(self, documents: Sequence[Document], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        occurrences: Counter[tuple[int, ...]] = Counter()
        for document in documents:
            read = (BOUNDARY_ID, *document, BOUNDARY_ID)
            for target in range(1, len(read)):
                for n in range(1, order + 1):
                    if n <= target + 1:
                        occurrences[read[target + 1 - n : target + 1]] += 1
        self.counts = {
            ngram: times
            if len(ngram) == order or (len(ngram) > 1 and ngram[0] == BOUNDARY_ID)
            else sum(longer[1:] == ngram for longer in occurrences)
            for ngram, times in occurrences.items()
        }
        self.discounts = {n: self._discounts(n) for n in range(1, order + 1)}

    def probability(self, token: int, before: Sequence[int]) -> Fraction:
        """Return the probability of a token after the tokens `before`.

        These are all tokens before it in its document, with a boundary first.
        """
        probability = Fraction(1, self.vocab_size)
        for n in range(1, min(self.order, len(before) + 1) + 1):
            context = tuple(before[len(before) + 1 - n :])
            counts = [self.counts.get((*context, v), 0) for v in range(self.vocab_size)]
            if sum(counts):
                taken = [self.discounts[n][min(c, 3)] for c in counts]
                own = counts[token] - taken[token]
                probability = (own + sum(taken) * probability) / sum(counts)
        return probability

    def _discounts(self, n: int) -> list[Fraction]:
        n1, n2, n3, n4 = (
            sum(len(ngram) == n and c == k for ngram, c in self.counts.items()) for k in range(1, 5)
        )
        if n1 and n2 and n3 and n4:
            y = Fraction(n1, n1 + 2 * n2)
            d1 = 1 - 2 * y * Fraction(n2, n1)
            d2 = 2 - 3 * y * Fraction(n3, n2)
            d3 = 3 - 4 * y * Fraction(n4, n3)
            if min(d1, d2, d3) > 0:
                return [Fraction(0), d1, d2, d3]
        return [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]
