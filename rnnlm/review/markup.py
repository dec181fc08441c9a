"""HTML that the sections of a report page share: its frame and style, and small elements of it."""

import base64
from collections.abc import Sequence

from rnnlm.charts import Picture
from rnnlm.visible import visible, visible_html

_VISIBLE = str.maketrans({"\t": "⇥", "\r": "␍", "\x00": "␀"})


def signed(value: float) -> str:
    """Return a number with its sign and three decimals."""
    return f"{value:+.3f}".replace("-", "−")


def seen(text: str) -> str:
    """Return a text with visible signs for tabs and other control characters."""
    return visible(text.translate(_VISIBLE), "\ufffd")


def image(picture: Picture, what: str) -> str:
    """Return an HTML element with an embedded picture.

    The browser shows its light or its dark version, depending on the reader's colour scheme.

    Args:
        picture: The light and the dark version of the picture.
        what: Alternative text.
    """
    light, dark = (base64.b64encode(svg).decode() for svg in picture)
    kind = "data:image/svg+xml;base64"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{kind},{dark}">'
        f'<img alt="{what}" src="{kind},{light}"></picture>'
    )


def markup(title: str, verdict: str, facts: str, sections: Sequence[str]) -> str:
    """Return the whole page as HTML.

    Args:
        title: Title, as plain text.
        verdict: A line under the title, as plain text; may be empty.
        facts: A line of facts about the model, as plain text.
        sections: Sections, as HTML; empty ones are left out.
    """
    said = f'<p class="verdict">{visible_html(verdict)}</p>' if verdict else ""
    body = "\n".join(f"<section>{section}</section>" for section in sections if section)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{visible_html(title)}: review</title>
<style>
{_STYLE}</style>
<h1>{visible_html(title)}</h1>
{said}
<p class="facts">{visible_html(facts)}</p>
{body}
</html>
"""


_STYLE = """\
:root { color-scheme: light dark; --ink: #222; --faint: #6b6b6b; --paper: #fff; --line: #e4e4e0;
        --soft: #f6f6f3; --model: #c4572f; --ngrams: #4c72b0;
        --s1: #fff1cc; --s2: #ffdf94; --s3: #ffbd6e; --s4: #f9946a; --s5: #ee6a5f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --faint: #a0a09c; --paper: #17181a; --line: #333538; --soft: #202225;
          --model: #e8835a; --ngrams: #7fa3dc;
          --s1: #35301c; --s2: #54431b; --s3: #74481a; --s4: #8f3f22; --s5: #ad2f30 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 860px; margin: 1.4rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.4rem 0 .3rem }
h3 { font-size: .92rem; margin: 1.1rem 0 .4rem } p { margin: .3rem 0 .6rem }
section > p, .facts { color: var(--faint) } small { color: var(--faint) }
.verdict { font-weight: 600; margin: .2rem 0 } .facts { font-size: .88rem; margin-bottom: 1rem }
img { width: 100%; height: auto; display: block }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem }
.card { display: flex; flex-direction: column; background: var(--soft); border-radius: 8px;
        padding: .7rem .9rem; border-left: 4px solid var(--model) }
.card.ngrams { border-color: var(--ngrams) }
.card b { font-size: 1.9rem; line-height: 1.25; font-variant-numeric: tabular-nums }
.card span, .card small { font-size: .84rem } .card small { margin-top: auto; padding-top: .3rem }
.bars { margin-top: .8rem; display: grid; gap: 4px }
.bars div { position: relative; height: 9px } .bars i { display: block; height: 100%;
        border-radius: 2px; background: var(--model) } .bars .ngrams { background: var(--ngrams) }
.bars u { position: absolute; top: 2px; height: 5px; background: var(--ink); border-radius: 2px }
table { border-collapse: collapse; width: 100% } th { font-weight: 500; text-align: left }
.growth { table-layout: fixed } .growth th:first-child { width: 5.6rem }
.growth th, .growth td { vertical-align: top; padding: .35rem .9rem .35rem 0 }
.growth th { font-size: .84rem; color: var(--faint) }
.growth th b { display: block; font-size: 1.05rem; color: var(--ink) }
.growth td, .growth tr th:first-child { border-top: 1px solid var(--line) }
.growth tr:first-child th { border-top: 0 }
.growth p { margin: 0 0 .35rem; font-size: .84rem; line-height: 1.4; white-space: pre-wrap;
        overflow-wrap: anywhere; max-height: 9.8em; overflow: hidden }
em { font-style: normal; color: var(--model); font-weight: 600 } q { color: var(--model) }
.figures { margin-top: .6rem; font-size: .86rem } .figures th { color: var(--faint) }
.figures td, .figures th:not(:first-child) { text-align: right; padding: .15rem 0 .15rem .8rem;
        font-variant-numeric: tabular-nums }
.figures tr + tr { border-top: 1px solid var(--line) }
article { border-top: 1px solid var(--line); padding: .5rem 0 .6rem }
header { display: flex; gap: .35rem; color: var(--faint); font-size: .8rem; align-items: baseline }
header b { color: var(--ink) } header span { margin-left: .9rem }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font: 13.5px/1.65 ui-monospace,
        "DejaVu Sans Mono", monospace; margin-top: .15rem }
i { font-style: normal; border-radius: 2px } .text i, .legend i { padding: .12em 0 }
.legend i { padding: .12em .5em; white-space: nowrap; color: var(--ink); font-size: .84rem }
.legend .s0 { outline: 1px solid var(--line) }
.s1 { background: var(--s1) } .s2 { background: var(--s2) } .s3 { background: var(--s3) }
.s4 { background: var(--s4) } .s5 { background: var(--s5) }
.k { text-decoration: underline 2px var(--ngrams); text-underline-offset: 3px }
@media (max-width: 640px) { .cards { grid-template-columns: 1fr } }
"""
