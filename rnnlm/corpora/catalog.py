"""The corpora that come by name: what they are, under which licence, and how to get their text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """A corpus that the catalog knows.

    Attributes:
        name: What `corpus.source` calls it.
        description: One line for people.
        form: What a document is; see `CorpusConfig.form`.
        licence: Licence of the text.
        origin: Where it comes from.
        read: Return the whole text, one document a line.
    """

    name: str
    description: str
    form: Literal["text", "color"]
    licence: str
    origin: str
    read: Callable[[], str]


def xkcd_colors() -> str:
    """Return the 949 colours of the xkcd survey that ship with matplotlib, `name R G B` a line."""
    from matplotlib.colors import XKCD_COLORS, to_rgb  # noqa: PLC0415 - heavy, and only here

    lines = []
    for name, value in XKCD_COLORS.items():
        red, green, blue = (round(255 * channel) for channel in to_rgb(value))
        lines.append(f"{name.removeprefix('xkcd:')} {red} {green} {blue}\n")
    return "".join(lines)


CATALOG = {
    entry.name: entry
    for entry in (
        Entry(
            name="colors-demo",
            description="colour names of the xkcd survey with their RGB values",
            form="color",
            licence="CC0",
            origin="matplotlib.colors.XKCD_COLORS",
            read=xkcd_colors,
        ),
    )
}
