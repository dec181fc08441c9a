"""Draw a picture of generated colours: swatches with their names, with all hues in each row."""

import colorsys
from collections.abc import Collection, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from rnnlm.colors import Color
from rnnlm.storage import atomic_path

COLUMNS = 8
GREY = 0.12
"""Saturation in HLS, from 0 to 1, below which a colour counts as grey."""


def by_hue(color: Color) -> tuple[bool, float, float]:
    """Return a sort key that puts colours in order of hue, and then greys from dark to light."""
    channels = (color.red / 255, color.green / 255, color.blue / 255)
    hue, lightness, saturation = colorsys.rgb_to_hls(*channels)
    return (saturation < GREY, 0.0 if saturation < GREY else hue, lightness)


def arrange(colors: Sequence[Color]) -> list[Color]:
    """Return colours in rows of `COLUMNS` that each go through all hues, the darkest rows first.

    Colours in order of hue alone would begin with many reds that look alike. Column n has the nth
    part of the colours by hue, from dark to light.
    """
    by_hues = sorted(colors, key=by_hue)
    size, more = divmod(len(by_hues), COLUMNS)
    starts = [size * n + min(n, more) for n in range(COLUMNS + 1)]
    columns = [sorted(by_hues[start:stop], key=_lightness) for start, stop in pairwise(starts)]
    return [color for row in zip_longest(*columns) for color in row if color is not None]


def draw(
    panels: Sequence[tuple[str, Sequence[Color]]], path: Path, copied: Collection[str] = ()
) -> None:
    """Write a PNG of colour swatches with their names, one panel below the other.

    Args:
        panels: Title and colours of each panel.
        path: Path of the picture.
        copied: Names that occur in the training text; they are marked with an asterisk.

    Raises:
        StorageError: The picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [_rows(colors) * 0.62 + 0.7 for _, colors in panels]
    total = sum(heights)
    figure = Figure(figsize=(COLUMNS * 1.75, total), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    bottom = total
    for (title, colors), height in zip(panels, heights, strict=True):
        bottom -= height
        place = (0.01, (bottom + 0.005 * height) / total, 0.98, 0.99 * height / total)
        _draw_panel(figure.add_axes(place), title, colors, copied)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _rows(colors: Sequence[Color]) -> int:
    return -(-len(colors) // COLUMNS)


def _lightness(color: Color) -> float:
    return _luminance((color.red / 255, color.green / 255, color.blue / 255))


def _draw_panel(axes: Any, title: str, colors: Sequence[Color], copied: Collection[str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(_rows(colors) + 0.05, -0.9)
    axes.axis("off")
    axes.text(0.03, -0.35, title, fontsize=15, fontweight="bold", va="center", color="#222222")
    for index, color in enumerate(arrange(colors)):
        row, column = divmod(index, COLUMNS)
        fill = (color.red / 255, color.green / 255, color.blue / 255)
        axes.add_patch(
            FancyBboxPatch(
                (column + 0.05, row + 0.08),
                0.90,
                0.84,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=fill,
                edgecolor="#00000022",
                linewidth=0.8,
            )
        )
        axes.text(
            column + 0.5,
            row + 0.5,
            _wrapped(f"{color.name} *" if color.name in copied else color.name),
            ha="center",
            va="center",
            fontsize=8.5,
            linespacing=1.05,
            color="#111111" if _luminance(fill) > 0.45 else "#ffffff",
            parse_math=False,
        )


def _wrapped(name: str, width: int = 17) -> str:
    """Break a name into at most two lines."""
    if len(name) <= width:
        return name
    head, _, tail = name[: width + 1].rpartition(" ")
    first = head or name[:width]
    rest = name[len(first) :].strip() if head or tail else ""
    return f"{first}\n{rest if len(rest) <= width else rest[: width - 1] + '…'}"


def _luminance(fill: tuple[float, float, float]) -> float:
    """Return the perceived lightness of a colour, from its sRGB channels (ITU-R BT.601 weights)."""
    return 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2]
