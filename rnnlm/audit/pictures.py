"""Draw the pictures of an audit, which compare generated with real texts.

They show the lengths of texts, the longest runs of characters that also occur in the training text,
and the range of colours.
"""

import colorsys
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit.gallery import GREY
from rnnlm.audit.summary import Audit
from rnnlm.colors import Color
from rnnlm.storage import write_bytes

_GENERATED, _REAL = "#c4572f", "#4c72b0"
_BINS = 28


def draw_lengths(audit: Audit, path: Path) -> None:
    """Write a PNG with histograms of the lengths of generated and training texts.

    Raises:
        StorageError: The picture cannot be written.
    """
    several = {"generated": (audit.length_counts, _GENERATED)}
    if audit.training_length_counts:
        several["training"] = (audit.training_length_counts, _REAL)
    edges, by_ratio = _edges([counts for counts, _ in several.values()])
    figure, axes = _figure(7, 2.8)
    for name, (counts, color) in several.items():
        heights, _ = np.histogram([*counts], edges, weights=[*counts.values()])
        shares = 100 * heights / max(1, sum(counts.values()))
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.25)
        axes.stairs(shares, edges, color=color, linewidth=1.6, label=name)
    if by_ratio:
        axes.set_xscale("log")
    what = "name" if audit.form == "color" else "text"
    _finish(axes, f"characters of a {what}", "% of texts")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    _save(figure, path)


def draw_longest_runs(audit: Audit, path: Path) -> None:
    """Write a PNG of the share of texts whose longest run has at least a given length.

    A run is a sequence of characters that occurs verbatim in the training text. The picture shows
    generated texts and held-out real texts.

    Raises:
        StorageError: The picture cannot be written.
    """
    figure, axes = _figure(7, 2.8)
    several = {
        "generated": (audit.longest_run_counts, _GENERATED),
        "real, held out": (audit.held_out_longest_run_counts, _REAL),
    }
    end = 1
    for name, (counts, color) in several.items():
        if counts:
            lengths = np.array(sorted(counts))
            times = np.array([counts[int(length)] for length in lengths])
            shares = 100 * np.cumsum(times[::-1])[::-1] / times.sum()
            steps = np.concatenate([[0], lengths])
            axes.step(
                np.append(steps, lengths[-1] + 1),
                np.concatenate([[100], shares, [0]]),
                where="pre",
                color=color,
                linewidth=1.8,
                label=name,
            )
            end = max(end, int(lengths[-1]) + 1)
    if end > 400:
        axes.set_xscale("symlog", linthresh=50)
    _finish(
        axes,
        "length of a text's longest run that occurs in the training text, in characters",
        "% with a run this long",
    )
    axes.set_xlim(0, end * 1.02)
    axes.set_ylim(0, 103)
    _save(figure, path)


def draw_gamut(colors: Sequence[Color], training: NDArray[np.uint8], path: Path) -> None:
    """Write a PNG that shows generated and training colours side by side, by hue and lightness.

    Both panels show the same number of colours. Greys, which have no hue, are in a separate column
    on the right.

    Args:
        colors: Generated colours.
        training: Red, green and blue channels of training colours, shape (colours, 3).
        path: Path of the picture.

    Raises:
        StorageError: The picture cannot be written.
    """
    generated = np.array([color[1:] for color in colors], dtype=np.uint8).reshape(-1, 3)
    count = min(len(generated), len(training))
    figure, both = _figure(9.6, 3.4, columns=2)
    for axes, (channels, name) in zip(
        both, ((generated, "generated"), (training, "training")), strict=True
    ):
        shown = channels[np.linspace(0, len(channels) - 1, count).astype(np.int64)] / 255.0
        places = np.array([_place(*color) for color in shown.tolist()]).reshape(-1, 2)
        axes.scatter(places[:, 0], places[:, 1], s=9, c=shown, linewidths=0)
        axes.set_facecolor("#ebebe8")
        axes.set_title(f"{count:,} colours, {name}", fontsize=11, loc="left")
        hues = ("red", "yellow", "green", "cyan", "blue", "magenta")
        axes.set_xticks([*range(0, 360, 60), 405], [*hues, "grey"])
        axes.set_yticks([0, 50, 100])
        axes.axvline(375, color="white", linewidth=2)
        axes.tick_params(length=3, labelsize=9, colors="#444444")
        axes.set_xlim(-6, 436)
        axes.set_ylim(-3, 103)
        axes.spines[:].set_visible(False)
    both[0].set_ylabel("lightness, %", color="#444444")
    _save(figure, path)


def _place(red: float, green: float, blue: float) -> tuple[float, float]:
    """Return the coordinates of a colour in the picture, from its channels, each from 0 to 1.

    The first is the hue in degrees, or a number above 380 for a grey. The second is the lightness
    in percent.
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    # Greys are spread over the column by their channels, so that they do not cover each other.
    spread = 385 + 40 * ((red * 7 + blue * 13) % 1.0)
    return (spread if saturation < GREY else 360 * hue), 100 * lightness


def _edges(several: Sequence[Mapping[int, int]]) -> tuple[NDArray[np.float64], bool]:
    """Return the edges of bins for several histograms of lengths.

    For a wide range of lengths, the width of the bins grows by a constant ratio; the second result
    is whether it does.
    """
    ends = [length for counts in several for length in counts] or [1]
    low, high = min(ends), max(ends) + 1
    if high > 30 * max(1, low) and high > 8 * _BINS:
        return np.unique(np.round(np.geomspace(max(1, low), high, _BINS + 1))), True
    step = 1 if high - low <= 2 * _BINS else -(-(high - low) // _BINS)
    return np.arange(low, high + step, step).astype(np.float64), False


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, sharey=True)


def _finish(axes: Any, across: str, up: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _save(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
