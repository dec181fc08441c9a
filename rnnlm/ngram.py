"""The count-based baseline: interpolated modified Kneser–Ney n-grams.

Let w be a token, h the n−1 tokens before it, h′ the same without the first of them, and c the
adjusted count of an n-gram. The probability of order n builds on that of order n−1:

    p_n(w | h) = (c(hw) − D_n(c(hw))) / Σ_v c(hv)  +  γ_n(h) p_{n−1}(w | h′)
    γ_n(h) = Σ_v D_n(c(hv)) / Σ_v c(hv)             p_0(w) = 1 / |V|

where the first term is 0 if the n-gram hw was not seen, and γ_n(h) = 1 if h was not seen.
The discounts of an order follow from n_k, the number of its n-grams with adjusted count k:

    Y = n_1 / (n_1 + 2 n_2)     D(k) = k − (k+1) Y n_{k+1} / n_k  for k = 1, 2;  D(3) for k ≥ 3

The adjusted count is the number of occurrences for the highest order, and for n-grams that begin a
document, which nothing precedes. For all other n-grams it is the number of distinct tokens that
precede them.

A document is read as one boundary, its tokens, and the boundary that ends it. The first boundary is
only ever a context, the last only ever a target, and no n-gram reaches across either. The first
tokens of a document therefore have shorter contexts, rather than several boundaries before them.

An n-gram's id is its index in its order's table, which is sorted by key = (id of its first n−1
tokens)·|V| + (its last token). Keys thus fit into 64 bits for any vocabulary, and all n-grams with
the same context are next to each other.

Sources: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling",
section 3 and equation 26; adjusted counts as in Heafield et al. 2013, "Scalable modified Kneser-Ney
language model estimation", section 3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.errors import EmptySplitError
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.tokens import BOUNDARY_ID, TokenArrays

NEVER = -1
"""Id of an n-gram that was never seen, or that would begin before its document does."""
FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)
"""Discounts where counts of counts are too few to estimate them; KenLM's `--discount_fallback`."""

_CHUNK = 1 << 18
"""Number of tokens whose n-grams are looked up at a time."""

Ids = NDArray[np.integer[Any]]
"""Ids of n-grams or tokens, of any width."""


@dataclass(frozen=True)
class NGramOrder:
    """The n-grams of one order n ≥ 2, and the values derived from their counts.

    Attributes:
        keys: Keys of the n-grams, ascending, shape (ngrams,); see the module's docstring.
        counts: Adjusted counts, shape (ngrams,).
        contexts: Number of n-grams of the order below.
        vocab_size: Number of distinct tokens.
    """

    keys: Ids
    counts: Ids
    contexts: int
    vocab_size: int

    @cached_property
    def discounts(self) -> NDArray[np.float64]:
        """Discount of a count of 0, 1, 2, and 3 or more; shape (4,)."""
        return discounts(self.counts)

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """For each context h, by its id: Σ_v c(hv), or 1 where that is 0; shape (contexts + 1,).

        The last entry is for the id `NEVER`.
        """
        return np.maximum(self._sums(self.counts), 1.0)

    @cached_property
    def backoffs(self) -> NDArray[np.float64]:
        """For each context h, by its id: γ(h), or 1 where nothing follows h; shape as `totals`."""
        taken = self._sums(self.discounts[np.minimum(self.counts, 3)])
        return np.where(taken > 0.0, taken / self.totals, 1.0)

    def _sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums over each context's n-grams, shape (contexts + 1,)."""
        sums = np.bincount(self.keys // self.vocab_size, values, minlength=self.contexts + 1)
        return sums.astype(np.float64)  # if there are no n-grams at all, numpy returns integers

    def find(self, contexts: Ids, tokens: Ids) -> NDArray[np.int64]:
        """Return the ids of n-grams; `NEVER` for an n-gram that is not in the table.

        An n-gram is given as the id of its context (its first n−1 tokens) and its last token.

        Args:
            contexts: Ids of the contexts in the order below, `NEVER` allowed; shape (n,).
            tokens: Last tokens, shape (n,).
        """
        if not len(self.keys):
            return np.full(len(tokens), NEVER, dtype=np.int64)
        # A context of NEVER makes a key below 0, which no n-gram has.
        wanted = contexts.astype(self.keys.dtype) * self.keys.dtype.type(self.vocab_size) + tokens
        places = np.searchsorted(self.keys, wanted.astype(self.keys.dtype, copy=False))
        np.minimum(places, len(self.keys) - 1, out=places)
        places[self.keys[places] != wanted] = NEVER
        return places

    def interpolate(
        self, shorter: NDArray[np.float64], contexts: Ids, ids: Ids
    ) -> NDArray[np.float64]:
        """Compute p_n of tokens from p_{n−1}.

        Args:
            shorter: p_{n−1}, shape (n,).
            contexts: Ids of h, shape (n,).
            ids: Ids of hw, shape (n,).
        """
        probabilities = shorter * self.backoffs[contexts]
        seen = np.flatnonzero(ids >= 0)
        counts = self.counts[ids[seen]]
        left = counts - self.discounts[np.minimum(counts, 3)]
        probabilities[seen] += left / self.totals[contexts[seen]]
        return probabilities


@dataclass(frozen=True)
class NGramTables:
    """All orders of a model.

    Attributes:
        unigram_counts: Adjusted count of each token, shape (vocab_size,).
        orders: Orders 2, 3, …; none for a unigram model.
    """

    unigram_counts: Ids
    orders: tuple[NGramOrder, ...]

    @cached_property
    def unigrams(self) -> NDArray[np.float64]:
        """p_1 of each token, shape (vocab_size,); uniform if nothing was counted."""
        counts, size = self.unigram_counts, len(self.unigram_counts)
        total = int(counts.sum(dtype=np.int64))
        if not total:
            return np.full(size, 1.0 / size)
        taken = discounts(counts)[np.minimum(counts, 3)]
        return np.asarray((counts - taken + taken.sum() / size) / total)


def tables_of(unigram_counts: Ids, keys: Sequence[Ids], counts: Sequence[Ids]) -> NGramTables:
    """Return the tables of a model with these n-grams.

    Args:
        unigram_counts: Adjusted counts, shape (vocab_size,).
        keys: Keys of orders 2, 3, …, each ascending, shape (ngrams,).
        counts: Adjusted counts of the same n-grams.
    """
    contexts = [len(unigram_counts), *map(len, keys)]
    orders = [
        NGramOrder(key, count, context, len(unigram_counts))
        for key, count, context in zip(keys, counts, contexts, strict=False)
    ]
    return NGramTables(unigram_counts, tuple(orders))


def count(
    arrays: TokenArrays, vocab_size: int, order: int, on_progress: OnProgress = silent
) -> NGramTables:
    """Count all n-grams of up to `order` tokens.

    Args:
        arrays: The training split.
        vocab_size: Number of distinct tokens.
        order: Length of the longest n-gram in tokens, at least 1.
        on_progress: Called with the number of orders done.

    Raises:
        EmptySplitError: There is nothing to count.
    """
    if not len(arrays.tokens):
        raise EmptySplitError("no n-grams to count: the training split is empty; give more text")
    occurrences: list[Ids] = [np.bincount(arrays.tokens, minlength=vocab_size)]
    keys: list[Ids] = []
    ids: Ids = arrays.tokens  # id of the (n−1)-gram that ends at each token
    for n in range(2, order + 1):
        on_progress(Progress(n - 1, order, "orders"))
        kind = _narrowest(len(occurrences[-1]) * vocab_size)
        at_tokens = np.empty(len(ids), dtype=kind)
        for place, contexts, tokens in _contexts(arrays, ids, n):
            at_tokens[place] = contexts.astype(kind) * kind.type(vocab_size) + tokens
        distinct, times = _distinct(at_tokens)
        del at_tokens
        if n < order:
            table = NGramOrder(distinct, times, len(occurrences[-1]), vocab_size)
            longer = np.empty(len(ids), dtype=_narrowest(len(distinct)))
            for place, contexts, tokens in _contexts(arrays, ids, n):
                longer[place] = table.find(contexts, tokens)
            ids = longer
        keys.append(distinct)
        occurrences.append(times)
    on_progress(Progress(order, order, "orders"))
    counts = _adjusted(keys, occurrences, vocab_size)
    return tables_of(counts[0], keys, counts[1:])


def score(tables: NGramTables, arrays: TokenArrays) -> NDArray[np.float64]:
    """Return the negative log-likelihood of every token in nats, shape (tokens,).

    `np.add.reduceat(nats, arrays.offsets[:-1])` gives the sum of each document.

    Args:
        tables: The model.
        arrays: Documents to score; each is scored from its beginning to its closing boundary.
    """
    nats = np.empty(len(arrays.tokens))
    ended = [NEVER] * len(tables.orders)  # ids of the n-grams that the last chunk ended with
    for start in range(0, len(nats), _CHUNK):
        tokens = arrays.tokens[start : start + _CHUNK].astype(np.int64)
        firsts = _first_tokens(arrays, start, start + len(tokens))
        probabilities = tables.unigrams[tokens]
        ids = tokens
        for number, table in enumerate(tables.orders):
            contexts = _delayed(ids, ended[number], firsts, number + 2)
            ended[number] = int(ids[-1])
            ids = table.find(contexts, tokens)
            probabilities = table.interpolate(probabilities, contexts, ids)
        nats[start : start + len(tokens)] = -np.log(probabilities)
    return nats


def discounts(counts: Ids) -> NDArray[np.float64]:
    """Return D(0), D(1), D(2), D(3) of an order; see the module's docstring.

    They are defined only if there are n-grams with counts 1, 2, 3 and 4. If they are not all
    defined and above 0, `FALLBACK_DISCOUNTS` are returned.

    Args:
        counts: Adjusted counts of the order's n-grams, shape (ngrams,).
    """
    _, *of = np.bincount(counts[counts <= 4], minlength=5).tolist()
    if all(of):
        share = of[0] / (of[0] + 2 * of[1])
        found = [k - (k + 1) * share * of[k] / of[k - 1] for k in (1, 2, 3)]
        if min(found) > 0.0:
            return np.array([0.0, *found])
    return np.array(FALLBACK_DISCOUNTS)


def _adjusted(keys: Sequence[Ids], occurrences: Sequence[Ids], vocab_size: int) -> list[Ids]:
    """Return the adjusted counts of every order from the occurrences of its n-grams.

    Every n-gram either begins a document or has a token before it, so an n-gram with 0 preceding
    tokens is one that begins a document.
    """
    counts: list[Ids] = []
    suffixes: Ids = np.zeros(vocab_size, dtype=np.int64)  # ids of n-grams without their first token
    shorter: NGramOrder | None = None
    for n, key in enumerate(keys):
        contexts, tokens = np.divmod(key, key.dtype.type(vocab_size))
        suffixes = shorter.find(suffixes[contexts], tokens) if shorter else tokens
        preceding = np.bincount(suffixes, minlength=len(occurrences[n]))
        counts.append(np.where(preceding > 0, preceding, occurrences[n]))
        shorter = NGramOrder(key, occurrences[n + 1], len(occurrences[n]), vocab_size)
    counts.append(occurrences[-1])
    return [adjusted.astype(_narrowest(int(adjusted.max(initial=0)))) for adjusted in counts]


def _distinct(keys: Ids) -> tuple[Ids, Ids]:
    """Return the distinct non-negative keys in ascending order, and how often each occurs.

    `keys` is sorted in place. `np.unique` gives the same result but is several times slower: it
    hashes, or sorts with an index.
    """
    keys.sort()
    keys = keys[np.searchsorted(keys, 0) :]
    starts = np.flatnonzero(np.diff(keys, prepend=keys.dtype.type(NEVER)))
    return keys[starts], np.diff(starts, append=len(keys))


def _contexts(
    arrays: TokenArrays, ids: Ids, n: int
) -> Iterator[tuple[slice, Ids, NDArray[np.unsignedinteger[Any]]]]:
    """Yield the tokens in chunks, with the context of each token.

    Args:
        arrays: The documents.
        ids: For each token, the id of the (n−1)-gram that ends with it, shape (tokens,).
        n: Order of the n-grams to form.

    Yields:
        The chunk's slice of `arrays.tokens`, the id of the n−1 tokens before each token, and the
        tokens.
    """
    for start in range(0, len(ids), _CHUNK):
        place = slice(start, min(start + _CHUNK, len(ids)))
        firsts = _first_tokens(arrays, place.start, place.stop)
        before = int(ids[start - 1]) if start else NEVER
        yield place, _delayed(ids[place], before, firsts, n), arrays.tokens[place]


def _delayed(ids: Ids, before: int, firsts: Ids, n: int) -> NDArray[np.int64]:
    """Return, for each token, the id of the n−1 tokens before it.

    Args:
        ids: Ids of the n−1 tokens that end with each token, shape (tokens,).
        before: Id of the n−1 tokens that end just before the first token.
        firsts: Indices of the tokens that begin a document; only a boundary comes before these.
        n: Order of the n-grams to form.
    """
    contexts = np.empty(len(ids), dtype=np.int64)
    contexts[0], contexts[1:] = before, ids[:-1]
    contexts[firsts] = BOUNDARY_ID if n == 2 else NEVER
    return contexts


def _first_tokens(arrays: TokenArrays, start: int, end: int) -> NDArray[np.int64]:
    """Return which tokens from `start` to `end` (exclusive) begin a document.

    They are returned as indices relative to `start`.
    """
    first, last = np.searchsorted(arrays.offsets[:-1], [start, end])
    return np.asarray(arrays.offsets[first:last] - start)


def _narrowest(largest: int) -> np.dtype[Any]:
    """Return int32 if it can hold `largest`, otherwise int64; lookups need one of the two."""
    return np.dtype(np.int32 if largest < 2**31 else np.int64)
