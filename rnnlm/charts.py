"""What the pictures of a review have in common: colours for light and dark paper, axes, PNG."""

import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

WIDTH = 8.6
"""Inches of a picture, which is as wide as the page."""
DPI = 170


class Palette(NamedTuple):
    """Colours of a picture.

    Attributes:
        paper: Behind all.
        ink: Of words.
        faint: Of axes.
        line: Of grids.
        model: Of the model on held-out text.
        train: Of the model on its training text.
        ngrams: Of the n-gram model.
        kinds: Of kinds of tokens.
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
    kinds=("#f08f66", "#79b0ea", "#c09be6", "#6cc795", "#d8b75c", "#a0a09c"),
)

Draw = Callable[[Palette], Any]
"""Draws a figure in the colours of a palette."""


class Picture(NamedTuple):
    """A picture on light and on dark paper.

    Attributes:
        light: PNG.
        dark: PNG.
    """

    light: bytes
    dark: bytes


def in_both(draw: Draw) -> Picture:
    """Return what a function draws, on light and on dark paper."""
    with warnings.catch_warnings():  # a script that the font lacks is shown as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        return Picture(_png(draw(LIGHT)), _png(draw(DARK)))


def new_figure(palette: Palette, height: float) -> Any:
    """Return an empty figure as wide as the page, its height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (WIDTH, height)
    figure = Figure(figsize=size, dpi=DPI, facecolor=palette.paper, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Any, palette: Palette, across: str = "", up: str = "", title: str = "") -> None:
    """Give axes the palette's colours, a grid and names."""
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
    """Return the effect that keeps words readable on top of lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground=palette.paper)]


def short(value: float) -> str:
    """Return a number as an axis shows it: 1.5M, 20k, 300."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
