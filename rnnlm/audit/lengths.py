"""Histograms of the lengths of texts, which can be added up over shards.

Below 64 characters, each length has its own bin. From 64 characters on, there are 32 bins for each
doubling of the length, as in an HDR histogram (Tene 2012). A bin is named by its smallest length,
so a length read from a histogram is at most 3% too low.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles that are reported, each as a share of the texts."""

_EXACT, _STEPS = 64, 32

Counts = dict[int, int]
"""A histogram: the number of texts in each bin, by the bin's smallest length in characters."""


def count_lengths(lengths: NDArray[np.int64]) -> Counts:
    """Return the histogram of some lengths.

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
    """Return quantiles of the lengths in a histogram, by name, such as `50%`.

    The quantile of a share is the smallest length such that at least this share of the texts is no
    longer than it. The result is empty if the histogram is empty.
    """
    if not counts:
        return {}
    lengths = np.array(sorted(counts))
    cumulated = np.cumsum([counts[int(length)] for length in lengths])
    found = np.searchsorted(cumulated, np.array(shares) * cumulated[-1])
    places = np.minimum(found, len(lengths) - 1)
    return {f"{share:.0%}": int(lengths[n]) for share, n in zip(shares, places, strict=True)}
