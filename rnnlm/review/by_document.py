"""Compare a model with an n-gram model, document by document, in a picture and in quantiles."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.charts import Palette, Picture, dress, in_both, new_figure, outlined
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.intervals import FEWEST_DOCUMENTS
from rnnlm.metrics import NATS_PER_BIT

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_POINTS = 1000
"""Most points of the scatter plot. If there are more documents, an evenly spread part of them is
drawn."""
_BINS = 40
_EDGE = 0.005
"""Share of the documents that may have values beyond each end of an axis; they are drawn at the
edge of the picture."""


class Pairs(NamedTuple):
    """Bits per character of the same texts under two models.

    The texts are documents, or pieces of them.

    Attributes:
        unit: Name for the texts, in the plural: `documents` or `pieces of 1,024 tokens`.
        model: Bits per character under the model, shape (texts,).
        ngrams: Bits per character under the n-gram model, shape (texts,).
    """

    unit: str
    model: NDArray[np.float64]
    ngrams: NDArray[np.float64]

    @property
    def gains(self) -> NDArray[np.float64]:
        """Bits per character by which the model is better than the n-grams, shape (texts,)."""
        return self.ngrams - self.model

    @property
    def better_share(self) -> float:
        """Share of the texts that the model predicts better than the n-grams."""
        return float((self.gains > 0.0).mean())

    def quantiles(self) -> list[tuple[str, list[float]]]:
        """Return the rows of a table of quantiles: the name of each row, and its `QUANTILES`."""
        several = {"model": self.model, "n-grams": self.ngrams, "n-grams − model": self.gains}
        return [(name, np.quantile(values, QUANTILES).tolist()) for name, values in several.items()]


def pair(model: TextNats, ngrams: TextNats) -> Pairs:
    """Return the bits per character of each document under both models.

    If there are few documents, and both models have the same pieces of 1,024 tokens, the pieces are
    returned instead of the documents.
    """
    same_pieces = np.array_equal(model.piece_tokens, ngrams.piece_tokens)
    if len(model.documents) < FEWEST_DOCUMENTS and same_pieces and len(model.pieces) > 1:
        per_token = model.characters.sum() / model.piece_tokens.sum()
        characters = np.maximum(model.piece_tokens * per_token, 1.0) * NATS_PER_BIT
        pieces = model.pieces / characters, ngrams.pieces / characters
        return Pairs("pieces of 1,024 tokens", *pieces)
    characters = np.maximum(model.characters, 1) * NATS_PER_BIT
    return Pairs("documents", model.documents / characters, ngrams.documents / characters)


def draw_documents(pairs: Pairs) -> Picture:
    """Draw both models' bits per character against each other, and their differences."""
    return in_both(lambda palette: _draw(palette, pairs))


def _draw(palette: Palette, pairs: Pairs) -> Any:
    figure = new_figure(palette, 3.5)
    scatter, histogram = figure.subplots(1, 2)
    dress(
        scatter,
        palette,
        "n-grams, bits per character",
        "model, bits per character",
        "Both models compared",
    )
    every = np.linspace(0, len(pairs.model) - 1, min(MOST_POINTS, len(pairs.model)))
    places = every.astype(np.int64)
    both = np.concatenate([pairs.model, pairs.ngrams])
    low, high = _ends(both)
    x, y = (np.clip(values[places], low, high) for values in (pairs.ngrams, pairs.model))
    is_better = y < x
    size = 14 if len(places) < 500 else 5
    for chosen, color in ((is_better, palette.model), (~is_better, palette.ngrams)):
        scatter.scatter(x[chosen], y[chosen], s=size, c=color, alpha=0.5, linewidths=0)
    scatter.plot([low, high], [low, high], color=palette.faint, linewidth=1)
    scatter.set_xlim(low, high)
    scatter.set_ylim(low, high)
    scatter.set_aspect("equal", adjustable="box")
    for x_, y_, said, color, side in (
        (0.97, 0.03, "the model is better", palette.model, "right"),
        (0.03, 0.95, "the n-grams are better", palette.ngrams, "left"),
    ):
        scatter.text(
            x_, y_, said, transform=scatter.transAxes, ha=side, color=color, fontsize=8.5,
            path_effects=outlined(palette),
        )  # fmt: skip
    _draw_gains(histogram, palette, pairs)
    return figure


def _draw_gains(axes: Any, palette: Palette, pairs: Pairs) -> None:
    gains = pairs.gains
    low, high = _ends(np.append(gains, 0.0))
    step = (high - low) / _BINS
    edges = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step  # 0 is an edge
    counts, _ = np.histogram(np.clip(gains, edges[0], edges[-1]), edges)
    middles = (edges[1:] + edges[:-1]) / 2
    colors = [palette.model if middle > 0 else palette.ngrams for middle in middles]
    dress(
        axes,
        palette,
        "bits per character that the model saves",
        pairs.unit,
        f"The model is better on {pairs.better_share:.1%}",
    )
    axes.bar(middles, counts, width=step * 0.92, color=colors, alpha=0.85)
    axes.axvline(0.0, color=palette.faint, linewidth=1)
    median = float(np.median(gains))
    axes.axvline(median, color=palette.ink, linewidth=1.1, linestyle=":")
    top = axes.get_ylim()[1] * 1.12
    axes.set_ylim(0, max(1.0, top))
    axes.annotate(
        f"median {median:+.3f}",
        (median, top),
        xytext=(4, -10),
        textcoords="offset points",
        color=palette.ink,
        fontsize=8.5,
        path_effects=outlined(palette),
    )


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return axis limits that include all but the most extreme values, plus a margin."""
    low, high = np.quantile(values, [_EDGE, 1.0 - _EDGE])
    margin = max(0.04 * float(high - low), 0.01)
    return float(low) - margin, float(high) + margin
