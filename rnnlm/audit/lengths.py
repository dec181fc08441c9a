"""Histograms of lengths that can be added: exact below 64 characters, at most 3% too low above.

From 64 characters on, there are 32 bins to each doubling of the length, as in an HDR histogram
(Tene 2012).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles that are reported, as shares of the texts."""

_EXACT, _STEPS = 64, 32

Counts = dict[int, int]
"""Number of texts in each bin, by the bin's smallest length."""


def count_lengths(lengths: NDArray[np.int64]) -> Counts:
    """Return how many lengths fall into each bin, by the bin's smallest length.

    Args:
        lengths: Lengths of texts in characters, shape (texts,).
    """
    doublings = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1  # ⌊log₂⌋
    step = np.where(lengths < _EXACT, 1, (1 << doublings.astype(np.int64)) // _STEPS)
    found, times = np.unique(lengths // step * step, return_counts=True)
    return dict(zip(found.tolist(), times.tolist(), strict=True))


def add_counts(several: Sequence[Mapping[int, int]]) -> Counts:
    """Return the sum of several histograms, shortest lengths first."""
    total: Counts = {}
    for counts in several:
        for length, times in counts.items():
            total[length] = total.get(length, 0) + times
    return dict(sorted(total.items()))


def quantiles(counts: Mapping[int, int], shares: Sequence[float] = SHARES) -> dict[str, int]:
    """Return quantiles of the lengths, by name (`50%`).

    A quantile is the smallest length such that at least this share of the texts is no longer. The
    result is empty if nothing was counted.
    """
    if not counts:
        return {}
    lengths = np.array(sorted(counts))
    cumulated = np.cumsum([counts[int(length)] for length in lengths])
    found = np.searchsorted(cumulated, np.array(shares) * cumulated[-1])
    places = np.minimum(found, len(lengths) - 1)
    return {f"{share:.0%}": int(lengths[n]) for share, n in zip(shares, places, strict=True)}
