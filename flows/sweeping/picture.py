"""The picture of a sweep: one plot per varied setting, with a point for each trial.

A point shows the value of the setting and the validation score in bits per character.
"""

import io
import math
import statistics
from typing import Any

from flows.sweeping.space import Choices, Dimension, Space, short_name, written
from flows.sweeping.trial import Trial, best_of
from rnnlm.charts import LIGHT, dress

COLUMNS = 3
PANEL_INCHES = (3.4, 2.9)
DPI = 150
_SPREAD = 4.0
"""Limit of the vertical axis: this many times the difference between the median and the best
score, above the best score. Trials with worse scores are drawn on the upper edge."""


def draw(space: Space, trials: list[Trial]) -> bytes:
    """Return a PNG with one plot per varied setting: bits per character against its value.

    Each trial is a point: filled if it was trained to completion, hollow if not. The best trial is
    marked by a star.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - heavy
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [trial for trial in trials if trial.bits_per_character is not None]
    count = len(space.dimensions)
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.3)
    figure = Figure(figsize=size, dpi=DPI, facecolor=LIGHT.paper, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axes, dimension in zip(panels, space.dimensions, strict=False):
        _draw_panel(axes, dimension, shown)
    for axes in panels[count:]:
        axes.set_visible(False)
    figure.suptitle(
        f"{space.base.name}: validation score of each trial; hollow: not trained to completion",
        fontsize=9.5,
        color=LIGHT.ink,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_panel(axes: Any, dimension: Dimension, trials: list[Trial]) -> None:
    dress(axes, LIGHT, across=short_name(dimension.key), up="bits per character")
    top = _top(trials)
    for trial in trials:
        across, up = _place(dimension, trial), min(trial.bits_per_character or 0.0, top)
        fill = LIGHT.model if trial.state == "done" else "none"
        axes.scatter(across, up, s=26, facecolors=fill, edgecolors=LIGHT.model, clip_on=False)
    best = best_of(trials)
    if best is not None:
        axes.scatter(
            _place(dimension, best),
            best.bits_per_character,
            s=190,
            marker="*",
            color=LIGHT.ngrams,
            zorder=3,
        )
    if isinstance(dimension, Choices):
        labels = [written(value) for value in dimension.values]
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif dimension.is_log:
        axes.set_xscale("log")


def _top(trials: list[Trial]) -> float:
    """Return the upper limit of the vertical axis, in bits per character.

    Trials with worse scores are drawn on the upper edge, so that they do not compress the rest of
    the plot.
    """
    values = [t.bits_per_character for t in trials if t.bits_per_character is not None]
    best = best_of(trials)
    if best is None or best.bits_per_character is None:
        return max(values, default=1.0)
    spread = statistics.median(values) - best.bits_per_character
    return min(max(values), best.bits_per_character + _SPREAD * spread) if spread else max(values)


def _place(dimension: Dimension, trial: Trial) -> Any:
    value = trial.values[dimension.key]
    return dimension.values.index(value) if isinstance(dimension, Choices) else value
