"""Draw how a model learned: its training and validation loss by tokens and by steps.

The picture also shows the score of an n-gram model, the learning rate, the gradient norm and the
speed.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.charts import Palette, Picture, dress, in_both, legend, new_figure, outlined, short

FEWEST_ROWS = 2
TRAIN, VALIDATION = "train/nll_nats_per_token", "validation/nll_nats_per_token"
VALIDATION_BITS = "validation/bits_per_character"
SMALL = (
    ("train/learning_rate", "learning rate"),
    ("train/gradient_norm", "gradient norm"),
    ("train/tokens_per_second", "tokens per second"),
)
_BEGINNING = 0.05
"""Share of the training run, at its beginning, in which the picture may cut off the curve of the
training loss, so that the rest is drawn larger."""
_LEVEL = 0.003
"""A curve counts as level if it changes by at most this many bits per character."""

Rows = Sequence[Mapping[str, float]]


def can_draw_curves(rows: Rows) -> bool:
    """Return whether a training history is long enough to draw.

    The history of an n-gram model, for example, has only one row.
    """
    return sum(TRAIN in row for row in rows) >= FEWEST_ROWS and any(VALIDATION in r for r in rows)


def draw_curves(rows: Rows, best_step: int, ngram_bits_per_character: float | None) -> Picture:
    """Draw the history of a training run.

    Args:
        rows: Rows of the history, from `read_history`; `can_draw_curves` must be true for them.
        best_step: The training step of the checkpoint that was kept; it is marked.
        ngram_bits_per_character: Score of the n-gram model on the validation split; None to leave
            it out.
    """
    return in_both(lambda palette: _draw(palette, rows, best_step, ngram_bits_per_character))


def _draw(
    palette: Palette, rows: Rows, best_step: int, ngram_bits_per_character: float | None
) -> Any:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = new_figure(palette, 5.4)
    grid = figure.add_gridspec(2, len(SMALL), height_ratios=(2.3, 1.0))
    axes = figure.add_subplot(grid[0, :])
    scale = bits_per_nat(rows)
    tokens, train = _column(rows, TRAIN)
    where, validation = _column(rows, VALIDATION)
    dress(axes, palette, "tokens trained on", "bits per character")
    axes.plot(tokens, train * scale, color=palette.train, linewidth=1.2, label="training text")
    axes.plot(
        where,
        validation * scale,
        color=palette.model,
        linewidth=1.8,
        marker="o",
        markersize=3,
        label="validation",
    )
    if ngram_bits_per_character is not None:
        bits = ngram_bits_per_character
        axes.axhline(bits, color=palette.ngrams, linestyle="--", linewidth=1.3)
        axes.annotate(
            f"n-grams {bits:.3f}",
            (1.0, bits),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=palette.ngrams,
            fontsize=8.5,
            path_effects=outlined(palette),
        )
    _mark_best(axes, palette, rows, best_step, scale)
    known = [*(train * scale), *(validation * scale)]
    late = [*(train * scale)[tokens >= _BEGINNING * tokens[-1]], *(validation * scale)]
    lines = [] if ngram_bits_per_character is None else [ngram_bits_per_character]
    low, high = min(known + lines), max(late + lines)
    axes.set_ylim(max(0.0, low - 0.08 * (high - low)), high + 0.06 * (high - low) + 1e-6)
    axes.set_xlim(0, tokens[-1] * 1.01)
    legend(axes, palette, loc="best", ncols=2)
    formatter = FuncFormatter(lambda value, _: short(value))
    axes.xaxis.set_major_formatter(formatter)
    _second_axes(axes, palette, rows, scale, formatter)
    for place, (name, title) in enumerate(SMALL):
        small = figure.add_subplot(grid[1, place])
        dress(small, palette, title=title)
        across, values = _column(rows, name)
        small.plot(across, values, color=palette.faint, linewidth=1.2)
        small.set_xlim(0, tokens[-1] * 1.01)
        if name == "train/gradient_norm" and len(values) and values.min() > 0:
            if values.max() > 30 * np.median(values):
                small.set_yscale("log")
        elif len(values):
            small.set_ylim(0, max(1e-12, float(values.max()) * 1.1))
        if small.get_yscale() == "linear":
            small.yaxis.set_major_locator(MaxNLocator(4))
            small.yaxis.set_major_formatter(formatter)
        small.xaxis.set_major_locator(MaxNLocator(4))
        small.xaxis.set_major_formatter(formatter)
    return figure


def bits_per_nat(rows: Rows) -> float:
    """Return the factor that converts nats per token to bits per character on validation text."""
    row = next(row for row in reversed(rows) if VALIDATION in row)
    return row[VALIDATION_BITS] / max(1e-12, row[VALIDATION])


def _mark_best(axes: Any, palette: Palette, rows: Rows, best_step: int, scale: float) -> None:
    best = [row for row in rows if row["step"] == best_step and VALIDATION in row]
    if not best:
        return
    tokens, bits = best[0]["tokens"], best[0][VALIDATION] * scale
    is_late = tokens > 0.7 * rows[-1]["tokens"]
    axes.plot([tokens], [bits], marker="o", markersize=8, color=palette.model, zorder=5)
    axes.annotate(
        f"best {bits:.3f}, step {best_step:,}",
        (tokens, bits),
        xytext=(-8 if is_late else 8, 9),
        textcoords="offset points",
        ha="right" if is_late else "left",
        color=palette.model,
        fontsize=9,
        fontweight="bold",
        path_effects=outlined(palette),
        zorder=6,
    )


def _second_axes(axes: Any, palette: Palette, rows: Rows, scale: float, formatter: Any) -> None:
    """Add an axis of training steps at the top, and an axis of nats per token on the right."""
    ascending = [(0.0, 0.0)]
    for row in rows:
        if row["tokens"] > ascending[-1][0] and row["step"] > ascending[-1][1]:
            ascending.append((row["tokens"], row["step"]))
    known, steps = np.array(ascending).T
    last = float(steps[-1] / known[-1])  # beyond the last known step, in proportion

    def to_steps(tokens: Any) -> Any:
        beyond = np.maximum(np.asarray(tokens) - known[-1], 0.0) * last
        return np.interp(tokens, known, steps) + beyond + np.minimum(tokens, 0.0) * last

    def to_tokens(step: Any) -> Any:
        beyond = np.maximum(np.asarray(step) - steps[-1], 0.0) / last
        return np.interp(step, steps, known) + beyond + np.minimum(step, 0.0) / last

    above = axes.secondary_xaxis("top", functions=(to_steps, to_tokens))
    right = axes.secondary_yaxis("right", functions=(lambda b: b / scale, lambda n: n * scale))
    above.xaxis.set_major_formatter(formatter)
    for other in (above, right):
        other.tick_params(colors=palette.faint, labelsize=8, length=3)
        other.spines[:].set_visible(False)
    above.set_xlabel("step", color=palette.faint, fontsize=8.5)
    right.set_ylabel("nats per token", color=palette.faint, fontsize=8.5)


def _column(rows: Rows, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of tokens and the value `name` of each row that has this value."""
    pairs = [(row["tokens"], row[name]) for row in rows if name in row]
    return np.array([t for t, _ in pairs]), np.array([v for _, v in pairs])


def said_of_learning(rows: Rows, best_step: int) -> str:
    """Return one or two sentences on overfitting and underfitting, as the curves show it."""
    scale = bits_per_nat(rows)
    validated = [row for row in rows if VALIDATION in row]
    best = next((row for row in validated if row["step"] == best_step), None)
    if best is None:
        return ""
    gap = (best[VALIDATION] - best.get(TRAIN, best[VALIDATION])) * scale
    where = "above" if gap >= 0 else "below"
    said = (
        f"At the best step, the validation loss was {abs(gap):.3f} bits per character {where} the "
        "training loss, which was measured during training, with dropout."
    )
    last = validated[-1]
    rise = (last[VALIDATION] - best[VALIDATION]) * scale
    if last["step"] > best_step:
        how = f"rose by {rise:.3f}" if rise > _LEVEL else "stayed level"
        return f"{said} After that it {how} until the end, at step {last['step']:,.0f}."
    changes = [(a[VALIDATION] - b[VALIDATION]) * scale for a, b in pairwise(validated)]
    if changes and changes[-1] > _LEVEL:
        return f"{said} It was still falling at the end, by {changes[-1]:.3f} in the last interval."
    return f"{said} It was level at the end."
