"""Texts drawn from a model, and how to show them: as lines, paragraphs or colour swatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from rnnlm import colors
from rnnlm.visible import visible, visible_html

ONE_LINE = 100
"""Most characters of a text that takes one line."""

_SWATCH = (
    "display:inline-block;width:3.4em;height:1.15em;border-radius:3px;vertical-align:middle;"
    "margin-right:.6em;background:#{code}"
)
_TEXT = (
    "white-space:pre-wrap;border-left:3px solid #8884;padding-left:.8em;margin:.5em 0;"
    "max-width:48em;font-family:inherit"
)


@dataclass(frozen=True)
class Samples(Sequence[str]):
    """Some texts: a sequence of strings that a terminal and a notebook show in a readable form.

    Attributes:
        texts: The texts.
        form: What a text should be; see `CorpusConfig.form`.
        seed: Seed of the texts; drawing again with it gives the same texts.
    """

    texts: tuple[str, ...]
    form: str
    seed: int

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Samples: ...
    def __getitem__(self, place: int | slice) -> str | Samples:
        """Return a text, or some of the texts."""
        if isinstance(place, slice):
            return Samples(self.texts[place], self.form, self.seed)
        return self.texts[place]

    def __str__(self) -> str:
        """Return the texts, one per line, or with blank lines between them if they are longer."""
        are_long = any("\n" in text or len(text) > ONE_LINE for text in self.texts)
        return ("\n\n" if are_long else "\n").join(self.texts)

    def __repr__(self) -> str:
        """Return the texts in a form that is safe to show on a terminal."""
        return visible(str(self))

    def _repr_html_(self) -> str:
        """Return the texts as HTML, for notebooks."""
        return "".join(map(self._html, self.texts))

    def _html(self, text: str) -> str:
        color = colors.parse(text) if self.form == "color" else None
        if color is None:
            return f'<div style="{_TEXT}">{visible_html(text)}</div>'
        name, *channels = color
        code = bytes(channels).hex()
        swatch = _SWATCH.format(code=code)
        return f'<div><span style="{swatch}"></span>{visible_html(name)} <code>#{code}</code></div>'
