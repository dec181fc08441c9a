"""Make texts safe to show.

Names of files, attributes and generated texts may contain characters that act on a terminal, or
that reorder the text around them. Everything that shows such a text passes it through here: the
terminal, HTML pages, cards, and MLflow's texts.
"""

import html
import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters (C0 and C1) except tab and line end
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates of the writing direction
    "\ud800-\udfff"  # lone surrogates, which no encoding can write
    "\ufff9-\ufffb\U000e0000-\U000e007f]"  # annotations, and invisible copies of ASCII
)


def visible(text: str, mark: str = "·") -> str:
    """Return a text in which each character that is unsafe to show is replaced with `mark`.

    Tabs and line ends are kept.
    """
    return _UNSAFE.sub(mark, text)


def visible_line(text: str, mark: str = "·") -> str:
    """Return a text as one line: like `visible`, with tabs and line ends replaced by spaces."""
    return visible(text.replace("\n", " ").replace("\t", " "), mark)


def visible_html(text: object) -> str:
    """Return a text that is safe to show in an HTML page, with characters such as `<` escaped."""
    return html.escape(visible(str(text), "\ufffd"))
