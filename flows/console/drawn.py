"""Show texts on a terminal as they are drawn: as swatches, recipes or wrapped text.

Texts at several temperatures are shown side by side if the window is wide enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnlm import colors
from rnnlm.config import GenerationConfig
from rnnlm.corpora import recipes
from rnnlm.surprise import names_of_shades, shade

if TYPE_CHECKING:
    from rich.text import Text

    from rnnlm.generation.streaming import DrawnText

NARROWEST = 26
"""Least width of a column. If columns would be narrower, temperatures are shown one below the
other."""
GAP = 3
WIDEST = 78
"""Most characters in a line of text, so that it is easy to read."""
SHADES = (
    "",
    "black on #fff3c4",
    "black on #ffd97a",
    "black on #ffb04d",
    "black on #f4773f",
    "white on #c62f2f",
)
"""Style of a character by its surprise; see `rnnlm.surprise.shade`."""


@dataclass(frozen=True)
class Drawn:
    """Texts that are being drawn.

    Attributes:
        model: What the model is called.
        form: What a text should be; see `CorpusConfig.form`.
        config: Settings of the texts.
        texts: The texts; they are drawn as they are taken.
    """

    model: str
    form: str
    config: GenerationConfig
    texts: Iterator[DrawnText]


def show(drawn: Sequence[Drawn], *, surprise: bool) -> None:
    """Print texts on the terminal.

    Args:
        drawn: The texts of each temperature.
        surprise: Whether to colour characters by their surprise.
    """
    from flows.console.printing import out  # noqa: PLC0415 - imports rich

    if surprise:
        out.print(_legend(), soft_wrap=True)
        out.print()
    width = (out.width - 2 - GAP * (len(drawn) - 1)) // len(drawn)
    if len(drawn) > 1 and width >= NARROWEST:
        _show_columns(drawn, min(width, WIDEST))
        return
    for place, one in enumerate(drawn):
        if len(drawn) > 1:
            out.print(_title(one))
        for text in one.texts:
            _show_one(cell(text, one.form), min(out.width - 4, WIDEST))
        if place + 1 < len(drawn):
            out.print()


def _show_one(content: Text, width: int) -> None:
    """Print a text: on one line if it fits, otherwise with a bar on its left."""
    from rich.text import Text  # noqa: PLC0415

    from flows.console.printing import out  # noqa: PLC0415

    lines = content.wrap(out, width)
    if len(lines) == 1:
        out.print(Text("  ") + lines[0], soft_wrap=True)
        return
    for line in lines:
        line.rstrip()
        out.print(Text.assemble(("  │ ", "dim"), line), soft_wrap=True)
    out.print()


def _show_columns(drawn: Sequence[Drawn], width: int) -> None:
    from rich.text import Text  # noqa: PLC0415

    from flows.console.printing import out  # noqa: PLC0415

    def row(cells: Sequence[Text]) -> None:
        line = Text("  ")
        for one in cells:
            one.rstrip()
            one.align("left", width)
            line = line + one + Text(" " * GAP)
        line.rstrip()
        out.print(line, soft_wrap=True)

    row([_title(one) for one in drawn])
    for texts in zip(*(one.texts for one in drawn), strict=True):
        cells = [
            cell(text, one.form).wrap(out, width) for text, one in zip(texts, drawn, strict=True)
        ]
        height = max(map(len, cells))
        for place in range(height):
            row([lines[place] if place < len(lines) else Text() for lines in cells])
        if height > 1:
            out.print()


def cell(text: DrawnText, form: str) -> Text:
    """Return what is shown of a text, before it is wrapped."""
    from rich.text import Text  # noqa: PLC0415

    shown = Text()
    values = " · ".join(value for value in text.values.values() if value)
    if values:
        shown.append(f"{_safe(values)}\n", style="dim")
    if text.bits:
        for character, bits in zip(text.text, text.bits, strict=True):
            is_given = bits != bits
            shown.append(_safe(character), style="dim" if is_given else SHADES[shade(bits)])
        return shown
    color = colors.parse(text.text) if form == "color" else None
    if color is not None:
        name, red, green, blue = color
        shown.append("      ", style=f"on rgb({red},{green},{blue})")
        shown.append(f" #{red:02x}{green:02x}{blue:02x}", style="dim")
        return shown.append(f" {_safe(name)}")
    if form == "recipe":
        try:
            return shown.append_text(_recipe(recipes.parse(text.text)))
        except recipes.BrokenRecipeError:
            pass
    if not text.text.strip():
        return shown.append("(empty)", style="dim")
    return shown.append(_safe(text.text))


def _recipe(recipe: recipes.Recipe) -> Text:
    """Return a recipe with its title, its ingredients in aligned columns, and its directions."""
    from rich.text import Text  # noqa: PLC0415

    shown = Text()
    shown.append(_safe(recipe.title), style="bold")
    facts = ", ".join(filter(None, [*recipe.categories, recipe.servings]))
    if facts:
        shown.append(f"\n{_safe(facts)}", style="dim")
    for section in recipe.sections:
        shown.append("\n")
        if section.heading:
            shown.append(f"\n{_safe(section.heading)}", style="italic")
        for one in section.ingredients:
            amount = f"{one.quantity:>7} {one.unit:<2}"
            shown.append(f"\n{_safe(amount)} ", style="dim").append(_safe(one.name))
    for paragraph in recipe.directions:
        shown.append(f"\n\n{_safe(paragraph)}")
    return shown


def _title(drawn: Drawn) -> Text:
    from rich.text import Text  # noqa: PLC0415

    return Text(f"temperature {drawn.config.temperature:g}", style="bold")


def _legend() -> Text:
    from rich.text import Text  # noqa: PLC0415

    legend = Text.assemble(("  bits per character: ", "dim"))
    for style, name in zip(SHADES, names_of_shades(), strict=True):
        legend.append(f" {name} ", style=style).append(" ")
    return legend.append("given", style="dim")


def _safe(text: str) -> str:
    """Return a text in a form that cannot affect the terminal; line ends are kept."""
    from flows.console.printing import visible  # noqa: PLC0415

    return "\n".join(map(visible, text.split("\n")))
