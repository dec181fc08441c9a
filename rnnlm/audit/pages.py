"""What people look at beside the card: pictures, and pages of colours or of marked samples.

A page is one file without scripts, for light and dark screens.
"""

import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from rnnlm.audit.gallery import by_hue
from rnnlm.audit.novelty import RUN, longest_around
from rnnlm.audit.pictures import draw_gamut, draw_lengths, draw_longest_runs
from rnnlm.audit.reference import Reference
from rnnlm.audit.summary import Audit, ShardAudit
from rnnlm.colors import Color
from rnnlm.corpora.forms import read_subject
from rnnlm.storage import write_bytes

GALLERY_PAGE, SAMPLES_PAGE = "gallery.html", "samples.html"
LENGTHS_PICTURE, RUNS_PICTURE, GAMUT_PICTURE = "lengths.png", "overlaps.png", "gamut.png"
GALLERY_COLORS = 1000
SHOWN_TEXTS = 20
SHADES = (RUN, 40, 80, 160)
"""Characters of a run from which on the next stronger shade marks it."""


def write_pages(
    out: Path, title: str, total: ShardAudit, audit: Audit, reference: Reference | None
) -> dict[str, str]:
    """Write a data set's pictures and pages; return what each file shows, by its name.

    Args:
        out: The data set's folder.
        title: Of the data set.
        total: The sum of its shards' records.
        audit: What followed from it.
        reference: What it was made with; without, there is nothing to mark in samples.

    Raises:
        StorageError: A file cannot be written.
    """
    pages = {LENGTHS_PICTURE: "How long the texts are"}
    draw_lengths(audit, out / LENGTHS_PICTURE)
    if audit.longest_run_counts:
        pages[RUNS_PICTURE] = "The longest runs that stand in the training text"
        draw_longest_runs(audit, out / RUNS_PICTURE)
    if total.colors:
        pages[GALLERY_PAGE] = f"{min(GALLERY_COLORS, len(total.colors)):,} of the colours, by hue"
        write_gallery(total.colors, title, out / GALLERY_PAGE)
        if reference is not None:
            pages[GAMUT_PICTURE] = "Where the colours lie"
            draw_gamut(total.colors, reference.colors, out / GAMUT_PICTURE)
    elif reference is not None:
        shown = [read_subject(audit.form, text) for text in total.sample[:SHOWN_TEXTS]]
        pages[SAMPLES_PAGE] = "Samples, with what also stands in the training text marked"
        write_samples(shown, title, reference, out / SAMPLES_PAGE)
    return pages


def write_gallery(colors: Sequence[Color], title: str, path: Path) -> None:
    """Write a page of colours' swatches with their names, sorted by hue.

    Raises:
        StorageError: The page cannot be written.
    """
    shown = sorted(colors[:GALLERY_COLORS], key=by_hue)
    tiles = "\n".join(
        f'<li><i style="background:{_hex(color)}"></i><b>{html.escape(color.name)}</b>'
        f"<small>{_hex(color)}</small></li>"
        for color in shown
    )
    note = f"{len(shown):,} colours that a language model invented, by hue."
    write_bytes(path, _page(title, note, _GALLERY_STYLE, f"<ul>\n{tiles}\n</ul>").encode())


def write_samples(texts: Sequence[str], title: str, reference: Reference, path: Path) -> None:
    """Write a page of texts in which what also stands in the training text is marked.

    A character is marked by the longest run that it is part of, from `RUN` characters on.

    Raises:
        StorageError: The page cannot be written.
    """
    matches = reference.suffixes.find(texts)
    parts = []
    for number, text in enumerate(texts):
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
        "What a language model wrote; marked are the runs that also stand, character for "
        f"character, in the text it was trained on. Characters in a row: {legend}"
    )
    write_bytes(path, _page(title, note, _SAMPLES_STYLE, "\n".join(parts)).encode())


def _marked(text: str, around: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
    """Return a text as HTML with its runs marked."""
    changes = [0, *(np.flatnonzero(np.diff(around)) + 1).tolist(), len(text)]
    pieces = []
    for start, end in pairwise(changes):
        piece = html.escape(text[start:end])
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
<title>{html.escape(title)}</title>
<style>
{_STYLE}{style}</style>
<h1>{html.escape(title)}</h1>
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
     grid-template-columns: repeat(auto-fill, minmax(8.4rem, 1fr)) }
li { display: flex; flex-direction: column; min-width: 0 }
i { height: 4.2rem; border-radius: 8px; box-shadow: inset 0 0 0 1px #8884; margin-bottom: .35rem }
b { font-weight: 500; font-size: .86rem; line-height: 1.25; overflow-wrap: anywhere }
small { color: var(--faint); font: .74rem/1.4 ui-monospace, monospace }
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
