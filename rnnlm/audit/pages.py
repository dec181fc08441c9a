"""Write the pictures and HTML pages next to a data set's card.

There is a gallery of colours, or a page of sampled texts in which runs of characters that also
occur in the training text are marked. A page is one file without scripts. It follows the reader's
light or dark colour scheme.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from rnnlm.audit.gallery import arrange
from rnnlm.audit.novelty import RUN, longest_around
from rnnlm.audit.pictures import draw_gamut, draw_lengths, draw_longest_runs
from rnnlm.audit.reference import Reference
from rnnlm.audit.summary import Audit, ShardAudit
from rnnlm.colors import Color
from rnnlm.corpora.forms import read_subject
from rnnlm.storage import write_bytes
from rnnlm.visible import visible_html

GALLERY_PAGE, SAMPLES_PAGE = "gallery.html", "samples.html"
LENGTHS_PICTURE, RUNS_PICTURE, GAMUT_PICTURE = "lengths.png", "overlaps.png", "gamut.png"
GALLERY_COLORS = 1000
SHOWN_TEXTS = 20
SHADES = (RUN, 40, 80, 160)
"""Least length of a run in characters for each colour that marks it, from the palest on."""


def write_pages(
    out: Path, title: str, total: ShardAudit, audit: Audit, reference: Reference | None
) -> dict[str, str]:
    """Write a data set's pictures and pages; return a caption for each, by file name.

    Args:
        out: The data set's folder.
        title: Title of the data set.
        total: The sum of the audit records of its shards.
        audit: The audit computed from `total`.
        reference: The reference (index of training text) that the audit was made with. If it is
            None, no page of marked texts is written.

    Raises:
        StorageError: A file cannot be written.
    """
    pages = {LENGTHS_PICTURE: "Lengths of the texts"}
    draw_lengths(audit, out / LENGTHS_PICTURE)
    if audit.longest_run_counts:
        pages[RUNS_PICTURE] = "Longest runs that also occur in the training text"
        draw_longest_runs(audit, out / RUNS_PICTURE)
    if total.colors:
        pages[GALLERY_PAGE] = (
            f"{min(GALLERY_COLORS, len(total.colors)):,} of the colours, with all hues in each row"
        )
        copied = copied_names(total.colors[:GALLERY_COLORS], reference)
        write_gallery(total.colors, title, out / GALLERY_PAGE, copied)
        if reference is not None:
            pages[GAMUT_PICTURE] = "Hue and lightness of the colours"
            draw_gamut(total.colors, reference.colors, out / GAMUT_PICTURE)
    elif reference is not None:
        shown = [read_subject(audit.form, text) for text in total.sample[:SHOWN_TEXTS]]
        pages[SAMPLES_PAGE] = "Samples, with runs that also occur in the training text marked"
        write_samples(shown, title, reference, out / SAMPLES_PAGE)
    return pages


def copied_names(colors: Sequence[Color], reference: Reference | None) -> frozenset[str]:
    """Return the names of those colours whose names are copies of names in the training text.

    Args:
        colors: The colours.
        reference: The index of training text; None if there is none.
    """
    if reference is None or not colors:
        return frozenset()
    names = [color.name for color in colors]
    return frozenset(
        name for name, is_copy in zip(names, reference.are_copies(names), strict=True) if is_copy
    )


def write_gallery(
    colors: Sequence[Color], title: str, path: Path, copied: Collection[str] = ()
) -> None:
    """Write a page of colour swatches with their names, with all hues in each row.

    Args:
        colors: The colours.
        title: Title of the page.
        path: Path of the page.
        copied: Names that occur in the training text; their swatches are marked.

    Raises:
        StorageError: The page cannot be written.
    """
    shown = arrange(colors[:GALLERY_COLORS])
    mark = '<mark title="this name occurs in the training text">copy</mark>'
    tiles = "\n".join(
        f'<li><i style="background:{_hex(color)}"></i><b>{visible_html(color.name)}</b>'
        f"<small>{_hex(color)}{f' {mark}' if color.name in copied else ''}</small></li>"
        for color in shown
    )
    note = f"{len(shown):,} colours invented by a language model; each row has all hues."
    if copied:
        count = sum(color.name in copied for color in shown)
        note += f" {count:,} {'name' if count == 1 else 'names'} marked as {mark} occur"
        note += f"{'s' if count == 1 else ''} in the training text."
    write_bytes(path, _page(title, note, _GALLERY_STYLE, f"<ul>\n{tiles}\n</ul>").encode())


def write_samples(texts: Sequence[str], title: str, reference: Reference, path: Path) -> None:
    """Write a page of texts in which runs that also occur in the training text are marked.

    The colour of a character depends on the length of the longest run that contains it. Runs
    shorter than `RUN` characters are not marked.

    Raises:
        StorageError: The page cannot be written.
    """
    matches = reference.suffixes.find(texts)
    parts = []
    for number, text in enumerate(reference.masked(texts)):
        around = longest_around(matches.of(number))
        taken = float((around >= RUN).mean()) if len(around) else 0.0
        longest = int(around.max(initial=0))
        parts.append(
            f"<article><header><span>{number + 1}</span><span>{len(text):,} characters</span>"
            f"<span>longest run {longest:,}</span><span>{taken:.0%} marked</span></header>"
            f'<p dir="auto">{_marked(text, around)}</p></article>'
        )
    ends = [*(f"{low} to {high - 1}" for low, high in pairwise(SHADES)), ""]
    ends[-1] = f"{SHADES[-1]} and more"
    legend = " ".join(
        f'<mark class="s{shade}">{end}</mark>' for shade, end in enumerate(ends, start=1)
    )
    note = (
        "Texts generated by a language model. Marked runs also occur, character for character, in "
        f"the text that it was trained on. Length of the run in characters: {legend}"
    )
    write_bytes(path, _page(title, note, _SAMPLES_STYLE, "\n".join(parts)).encode())


def _marked(text: str, around: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
    """Return a text as HTML with its runs marked.

    Args:
        text: The text.
        around: Length of the longest run that contains each character, shape (characters,).
    """
    changes = [0, *(np.flatnonzero(np.diff(around)) + 1).tolist(), len(text)]
    pieces = []
    for start, end in pairwise(changes):
        piece = visible_html(text[start:end])
        shade = int(np.searchsorted(SHADES, around[start], side="right")) if end > start else 0
        run = f"{int(around[start]):,} characters" if shade else ""
        pieces.append(f'<mark class="s{shade}" title="{run}">{piece}</mark>' if shade else piece)
    return "".join(pieces)


def _hex(color: Color) -> str:
    return f"#{color.red:02x}{color.green:02x}{color.blue:02x}"


def _page(title: str, note: str, style: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{visible_html(title)}</title>
<style>
{_STYLE}{style}</style>
<h1>{visible_html(title)}</h1>
<div class="note">{note}</div>
{body}
</html>
"""


_STYLE = """\
:root { color-scheme: light dark; --ink: #222; --faint: #6b6b6b; --paper: #fff; --line: #e4e4e0 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --faint: #a0a09c; --paper: #17181a; --line: #333538 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 76rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin: 0 0 .2rem }
.note { color: var(--faint); margin-bottom: 1.6rem }
"""
_GALLERY_STYLE = """\
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem .8rem;
     grid-template-columns: repeat(8, minmax(0, 1fr)) }
li { display: flex; flex-direction: column; min-width: 0 }
i { height: 4.2rem; border-radius: 8px; box-shadow: inset 0 0 0 1px #8884; margin-bottom: .35rem }
b { font-weight: 500; font-size: .86rem; line-height: 1.25; overflow-wrap: anywhere }
small { color: var(--faint); font: .74rem/1.4 ui-monospace, monospace }
mark { color: var(--ink); background: #e8b33a55; border-radius: 3px; padding: 0 .3em }
@media (max-width: 60rem) { ul { grid-template-columns: repeat(4, minmax(0, 1fr)) } }
@media (max-width: 30rem) { ul { grid-template-columns: repeat(2, minmax(0, 1fr)) } }
"""
_SAMPLES_STYLE = """\
body { max-width: 50rem }
article { border-top: 1px solid var(--line); padding: .9rem 0 }
header { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; color: var(--faint);
         font-size: .8rem; font-variant-numeric: tabular-nums }
header span:first-child { font-weight: 600; color: var(--ink) }
p { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; line-height: 1.6 }
mark { color: inherit; border-radius: 2px; padding: .08em 0 }
.note mark { padding: .08em .5em; white-space: nowrap; color: var(--ink) }
.s1 { background: #ffe9a8 } .s2 { background: #ffcf7d }
.s3 { background: #ffae66 } .s4 { background: #f98d72 }
@media (prefers-color-scheme: dark) {
  .s1 { background: #4a4020 } .s2 { background: #67491a }
  .s3 { background: #84461a } .s4 { background: #9c3a2a }
}
"""
