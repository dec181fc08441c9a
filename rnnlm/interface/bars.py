"""A progress bar on a terminal or in a notebook; lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnnlm.progress import OnProgress, Progress
from rnnlm.visible import visible_html

LINE_EVERY_SECONDS = 10.0
_DRAW_EVERY_SECONDS = 0.1
_BAR = (
    '<div style="display:flex;gap:.8em;align-items:center;font-size:.9em">'
    '<span style="min-width:5em">{label}</span>'
    '<span style="width:16em;height:.6em;border-radius:.3em;background:#8883">'
    '<span style="display:block;width:{share:.1%};height:100%;border-radius:.3em;'
    'background:#c4572f"></span></span><span>{share:.0%}</span>'
    '<span style="opacity:.7">{note}</span></div>'
)


@contextmanager
def bar(label: str) -> Iterator[OnProgress]:
    """Show the progress of a computation while this context lasts.

    On a terminal, this is a bar on standard error; in a notebook, a bar below the cell. Both are
    removed at the end. Elsewhere, a line is written to standard error every `LINE_EVERY_SECONDS`.

    Args:
        label: What is being done, in a word.
    """
    way = _in_notebook if _is_notebook() else _on_terminal if _is_terminal() else _in_lines
    with way(label) as draw:
        last = time.monotonic()

        def on_progress(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            every = LINE_EVERY_SECONDS if way is _in_lines else _DRAW_EVERY_SECONDS
            if now - last >= every:
                last = now
                draw(min(1.0, progress.done / max(progress.total, 1e-9)), progress.note)

        yield on_progress


@contextmanager
def _on_terminal(label: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(30),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=1.0, note="")
        yield lambda share, note: shown.update(task, completed=share, note=note)


@contextmanager
def _in_notebook(label: str) -> Iterator[Any]:
    from IPython.display import HTML, display

    def content(share: float, note: str) -> Any:
        return HTML(_BAR.format(label=visible_html(label), share=share, note=visible_html(note)))

    handle = display(content(0.0, ""), display_id=True)
    try:
        yield lambda share, note: handle.update(content(share, note))
    finally:
        handle.update(HTML(""))


@contextmanager
def _in_lines(label: str) -> Iterator[Any]:
    def draw(share: float, note: str) -> None:
        sys.stderr.write(f"  {label:<10} {share:4.0%}  {note}\n")
        sys.stderr.flush()

    yield draw


def _is_terminal() -> bool:
    if not sys.stderr.isatty():
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True


def _is_notebook() -> bool:
    """Return whether this code runs in a Jupyter kernel, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
