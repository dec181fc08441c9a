"""Lengths as counts that add up: exact below 64 characters, at most 3% too low above.

Bins above are 32 to each doubling, as in an HDR histogram (Tene 2012).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Shares of texts that quantiles are given of."""

_EXACT, _STEPS = 64, 32

Counts = dict[int, int]
"""Texts by the least length of their bin."""


def count_lengths(lengths: NDArray[np.int64]) -> Counts:
    """Return how many lengths fall into each bin, by the bin's least length.

    Args:
        lengths: Of texts in characters, shape (texts,).
    """
    doublings = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1  # ⌊log₂⌋
    step = np.where(lengths < _EXACT, 1, (1 << doublings.astype(np.int64)) // _STEPS)
    found, times = np.unique(lengths // step * step, return_counts=True)
    return dict(zip(found.tolist(), times.tolist(), strict=True))


def add_counts(several: Sequence[Mapping[int, int]]) -> Counts:
    """Return the sum of some counts, shortest first."""
    total: Counts = {}
    for counts in several:
        for length, times in counts.items():
            total[length] = total.get(length, 0) + times
    return dict(sorted(total.items()))


def quantiles(counts: Mapping[int, int], shares: Sequence[float] = SHARES) -> dict[str, int]:
    """Return the lengths that a share of the texts reaches at most, by the share's name (`50%`).

    The smallest length at or below which at least that share lies; empty if nothing was counted.
    """
    if not counts:
        return {}
    lengths = np.array(sorted(counts))
    cumulated = np.cumsum([counts[int(length)] for length in lengths])
    found = np.searchsorted(cumulated, np.array(shares) * cumulated[-1])
    places = np.minimum(found, len(lengths) - 1)
    return {f"{share:.0%}": int(lengths[n]) for share, n in zip(shares, places, strict=True)}
