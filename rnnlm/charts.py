"""Helpers for the pictures on a model's report page: light and dark colours, axes, SVG output."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

WIDTH = 8.6
"""Width of a picture in inches: the width of the page."""


class Palette(NamedTuple):
    """Colours of a picture.

    Attributes:
        paper: Background.
        ink: Text.
        faint: Axes.
        line: Grid lines.
        model: The model on held-out text.
        train: The model on its training text.
        ngrams: The n-gram model.
        kinds: Kinds of tokens, one colour for each.
    """

    paper: str
    ink: str
    faint: str
    line: str
    model: str
    train: str
    ngrams: str
    kinds: tuple[str, ...]


LIGHT = Palette(
    paper="#ffffff",
    ink="#222222",
    faint="#6b6b6b",
    line="#e6e6e2",
    model="#c4572f",
    train="#e0a98f",
    ngrams="#4c72b0",
    kinds=("#c4572f", "#2f6fb0", "#7a4fa3", "#2d8a57", "#8a6d1f", "#6b6b6b"),
)
DARK = Palette(
    paper="#17181a",
    ink="#e6e6e3",
    faint="#a0a09c",
    line="#2c2e31",
    model="#e8835a",
    train="#8a5a47",
    ngrams="#7fa3dc",
    kinds=("#e8835a", "#79b0ea", "#c09be6", "#6cc795", "#d8b75c", "#a0a09c"),
)

Draw = Callable[[Palette], Any]
"""A function that draws a figure in the colours of a palette."""


class Picture(NamedTuple):
    """A picture on a light and on a dark background.

    Attributes:
        light: SVG with the light palette.
        dark: SVG with the dark palette.
    """

    light: bytes
    dark: bytes


def in_both(draw: Draw) -> Picture:
    """Draw a picture in the light palette, and replace its colours by those of the dark one.

    Both palettes must therefore have equal colours in the same places.
    """
    with warnings.catch_warnings():  # characters that the font lacks are shown as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        light = _svg(draw(LIGHT))
    others = dict(zip(_colours(LIGHT), _colours(DARK), strict=True))
    pattern = re.compile("|".join(others))
    return Picture(light.encode(), pattern.sub(lambda found: others[found[0]], light).encode())


def _colours(palette: Palette) -> list[str]:
    return [*palette[:-1], *palette.kinds]


def new_figure(palette: Palette, height: float) -> Any:
    """Return an empty figure of the page's width; `height` is in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (WIDTH, height)
    figure = Figure(figsize=size, facecolor=palette.paper, layout="constrained")
    FigureCanvasAgg(figure)  # measures text
    return figure


def dress(axes: Any, palette: Palette, across: str = "", up: str = "", title: str = "") -> None:
    """Give axes the palette's colours, a grid, labels (x: `across`, y: `up`) and a title."""
    axes.set_facecolor(palette.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.faint)
    axes.tick_params(colors=palette.faint, labelsize=8, length=3)
    axes.grid(visible=True, color=palette.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, color=palette.faint, fontsize=8.5)
    axes.set_ylabel(up, color=palette.faint, fontsize=8.5)
    if title:
        axes.set_title(title, color=palette.ink, fontsize=9.5, loc="left")


def legend(axes: Any, palette: Palette, **where: Any) -> None:
    """Add a legend without a frame."""
    axes.legend(frameon=False, fontsize=8.5, labelcolor=palette.ink, **where)


def outlined(palette: Palette) -> list[Any]:
    """Return the outline effect that keeps text readable on top of lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground=palette.paper)]


def short(value: float) -> str:
    """Return a number as an axis shows it: 1.5M, 20k, 300."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "rnnlm"}):  # the same figure makes the same file
        figure.savefig(buffer, format="svg", metadata={"Creator": None, "Date": None})
    return buffer.getvalue()
