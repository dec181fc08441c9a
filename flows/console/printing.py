"""Functions that print: steps and progress bars on standard error, results on standard output."""

import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from flows.runtime.reporting import Outcome, Reporter
from rnnlm import colors
from rnnlm import visible as safely
from rnnlm.progress import Progress as Standing

LINE_EVERY_SECONDS = 10.0
BAR_WIDTH = 20
SWATCH_COLUMNS = 2
STEP_WIDTH = 10
BESIDE_BAR = STEP_WIDTH + BAR_WIDTH + 22
"""Columns that a bar takes with the name of its step, its percentage and the time left."""
TIME_WIDTH = 10
WIDEST = 96
"""Most columns of a line about a step, so that its time is not far from its summary."""
USUAL_WIDTH = 80
"""Width of lines about steps if standard error is not a terminal."""

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff]")

PIPE_WIDTH = 10_000
"""Width of standard output if it is not a terminal: tables in files and pipes are never folded."""


class Output(Console):
    """A console that prints strings as they are, without markup, and nothing unsafe in them.

    It stays silent once nobody reads it any more, as after `| head`. The command continues, since
    its files and its registered model are worth more than its output.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print some objects, as rich does; see `rnnlm.visible` for what is unsafe."""
        safe = [safely.visible(each) if isinstance(each, str) else each for each in objects]
        super().print(*safe, markup=False, **options)

    def on_broken_pipe(self) -> None:
        """Discard all further output; Rich would end the process instead."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if self.stderr else sys.stdout).fileno())


def _colors(stderr: bool) -> Literal["truecolor"] | None:
    """Return how colours are written: in 24 bits, so that swatches are exact, or not at all.

    Rich chooses between the two by the terminal, NO_COLOR and FORCE_COLOR.
    """
    return "truecolor" if Console(stderr=stderr).color_system else None


out = Output(
    highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH, color_system=_colors(False)
)
err = Output(stderr=True, highlight=False, soft_wrap=True, color_system=_colors(True))


class ConsoleReporter(Reporter):
    """Prints a line for each finished step and a progress bar for the current step.

    Everything goes to standard error. If that is not a terminal, a line with the percentage is
    printed every `LINE_EVERY_SECONDS` instead of the bar.

    Attributes:
        interrupted: Set this to end the current step at its next progress report, with a
            `KeyboardInterrupt`.
        on_step: Called at the start of each step, if set.
        heard_at: Time of the last progress report, as `time.monotonic` counts it.
    """

    def __init__(self) -> None:
        """Create the reporter; it prints nothing yet."""
        super().__init__()
        self.interrupted = False
        self.on_step: Callable[[], None] | None = None
        self.heard_at = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._line_at = 0.0
        self._first: tuple[float, float] | None = None
        self._unit = ""

    def started(self, step: str) -> None:  # noqa: ARG002 - the same for every step
        """Call `on_step`, if it is set, and start to measure the speed of the step."""
        if self.on_step is not None:
            self.on_step()
        self._line_at = time.monotonic()
        self._first = None

    def progressed(self, step: str, progress: Standing) -> None:
        """Move the bar.

        Raises:
            KeyboardInterrupt: The user has asked to stop.
        """
        self.heard_at = time.monotonic()
        if self.interrupted:
            raise KeyboardInterrupt
        if self._first is None or progress.unit != self._unit:
            self._first, self._unit = (self.heard_at, progress.done), progress.unit
        if progress.sample:
            lead, shown = f"  {'writes':<{STEP_WIDTH}} ", progress.sample.replace("\n", "·")
            err.print(Text(hanging(err, lead, visible(shown), at_most=2), style="italic dim"))
        if err.is_terminal:
            self._draw(step, progress)
        elif time.monotonic() - self._line_at >= LINE_EVERY_SECONDS:
            self._line_at = time.monotonic()
            share = progress.done / max(progress.total, 1e-9)
            err.print(f"  {step:<{STEP_WIDTH}} {share:4.0%}  {self._rate(progress)}")

    def finished(self, step: str, outcome: Outcome) -> None:
        """Replace the bar with a line that shows the result and the time of the step."""
        super().finished(step, outcome)
        self.close()
        took = "cached" if outcome.cached else duration(outcome.seconds)
        width = min(err.width, WIDEST) if err.is_terminal else USUAL_WIDTH
        room = max(20, width - STEP_WIDTH - TIME_WIDTH - 4)
        first, rest = visible(outcome.summary), list[str]()
        if err.is_terminal and len(first) > room:  # in a file, a step has one line
            first, *rest = folded(first, room)
        line = Text(f"  {step:<{STEP_WIDTH}} {first:<{room}} {took:>{TIME_WIDTH}}")
        line.stylize("dim" if outcome.cached else "bold", 0, STEP_WIDTH + 2)
        line.stylize("dim", len(line) - TIME_WIDTH)
        err.print(line)
        for more in rest:
            err.print(Text(f"  {'':<{STEP_WIDTH}} {more}"))

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def _draw(self, step: str, progress: Standing) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn(f"  {step:<{STEP_WIDTH}}"),
                BarColumn(BAR_WIDTH),
                TextColumn("{task.percentage:3.0f}%"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                TextColumn("{task.fields[note]}", style="dim"),
                console=err,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(step, total=progress.total, note="")
        if self._task is not None:
            self._bar.update(
                self._task,
                completed=progress.done,
                total=progress.total,
                note=self._rate(progress, err.width - BESIDE_BAR),
            )

    def _rate(self, progress: Standing, room: int = USUAL_WIDTH) -> str:
        """Return the speed and the note of a step, or whichever of them fits `room` columns."""
        began, first_done = self._first or (self.heard_at, progress.done)
        rate = (progress.done - first_done) / max(self.heard_at - began, 1e-9)
        counted = rate and progress.unit not in progress.note and progress.unit != "seconds"
        said = f"{quantity(rate)} {progress.unit}/s" if counted else ""
        both = "  ".join(filter(None, [said, progress.note]))
        return next((part for part in (both, progress.note, said) if len(part) <= room), "")


def program() -> str:
    """Return what the user types to run this program: `rnnlm` if it is on the PATH, else its path.

    The path is relative to the current folder.
    """
    name = Path(sys.argv[0]).name
    if name != "rnnlm" or shutil.which(name):
        return "rnnlm"
    return os.path.relpath(sys.argv[0])


def duration(seconds: float) -> str:
    """Return a duration as text, such as `4.2 s` or, from 60 seconds, `1 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def quantity(amount: float) -> str:
    """Return an amount as text, such as `950`, or `12.3k` with three digits from 1,000 on."""
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if amount >= scale:
            return f"{amount / scale:.3g}{letter}"
    return f"{amount:.0f}"


def swatches(texts: Iterable[str]) -> None:
    """Print a block of colour, with its name and hexadecimal value, for each text that is a colour.

    Other texts are skipped. On a pipe, there are no blocks, unless FORCE_COLOR is set.
    """
    cells = [_swatch(color) for color in map(colors.parse, texts) if color]
    for start in range(0, len(cells), SWATCH_COLUMNS):
        line = Text("  ").join([Text(), *cells[start : start + SWATCH_COLUMNS]])
        out.print(line, soft_wrap=True)


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print (name, value) rows on standard output, with the values aligned in a column."""
    width = max([STEP_WIDTH, *(len(name) for name, _ in rows)])
    for name, value in rows:
        first, *more = map(visible, value.split("\n"))
        line = Text("\n".join([hanging(out, f"  {name:<{width}} ", first), *more]))
        line.stylize("dim", 0, width + 2)
        out.print(line, soft_wrap=True)


def paragraph(text: str, indent: int = 0, style: str = "", *, space: bool = False) -> None:
    """Print a text on standard output, folded to the window or to `USUAL_WIDTH` characters.

    Args:
        text: The text.
        indent: Number of spaces before each line.
        style: A style of Rich, such as `bold`.
        space: Whether to print a blank line before it.
    """
    margin = " " * indent
    lines = [margin + line for line in folded(visible(text), min(out.width, USUAL_WIDTH) - indent)]
    for line in [""] * space + lines:
        out.print(Text(line, style=style), soft_wrap=True)


def hanging(console: Output, lead: str, text: str, at_most: int = 0) -> str:
    """Return a line, folded at the edge of a terminal's window; elsewhere it stays one line.

    Args:
        console: Where the line will be printed.
        lead: The beginning of the line, such as `  test   `. As many spaces, or the same
            characters if it ends in a bar, begin the further lines.
        text: The rest of the line.
        at_most: Number of lines after which the text is cut off with an ellipsis; 0 for no limit.
    """
    room = max(20, console.width - len(lead))
    if not console.is_terminal or len(text) <= room:
        return lead + text
    lines = folded(text, room)
    if at_most and len(lines) > at_most:
        lines = [*lines[: at_most - 1], f"{folded(lines[at_most - 1], room - 2)[0]} …"]
    further = lead if lead.endswith("│ ") else " " * len(lead)
    return lead + f"\n{further}".join(lines)


def folded(text: str, width: int) -> list[str]:
    """Return the lines of a folded text; words, such as paths, are not broken."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def sparkline(counts: Sequence[int]) -> str:
    """Return a bar chart of counts, with one character per count; counts above 0 are visible."""
    top = max([1, *counts])
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // top)] for count in counts)


def visible(line: str) -> str:
    """Return a line of text in a form that cannot affect the terminal or the text around it.

    Characters that are unsafe to show become dots; see `rnnlm.visible`. On a terminal,
    right-to-left text is enclosed in the isolating characters U+2068 and U+2069, which take no
    space; otherwise it would move the punctuation and numbers around it.
    """
    safe = safely.visible(line).replace("\n", "·")
    return f"\u2068{safe}\u2069" if out.is_terminal and _RIGHT_TO_LEFT.search(safe) else safe


def samples(texts: Sequence[str], characters: int = 700, at_most: int = 3) -> None:
    """Print sampled texts on standard output.

    If all texts are single lines of fewer than 100 characters, all of them are printed, one per
    line. Otherwise the first ones are printed with a bar on their left and a blank line after each.

    Args:
        texts: The texts.
        characters: Length at which a long text is cut off.
        at_most: Number of long texts that are printed.
    """
    if not any("\n" in text for text in texts) and all(len(text) < 100 for text in texts):
        for text in texts:
            out.print(Text(f"  {visible(text)}"), soft_wrap=True)
        return
    for text in texts[:at_most]:
        shown = text if len(text) <= characters else text[:characters].rsplit(" ", 1)[0] + " …"
        for line in shown.split("\n"):
            out.print(Text(hanging(out, "  │ ", visible(line))), soft_wrap=True)
        out.print()


def _swatch(color: colors.Color, width: int = 30) -> Text:
    name = color.name if len(color.name) <= width - 8 else color.name[: width - 9] + "…"
    code = f"#{color.red:02x}{color.green:02x}{color.blue:02x}"
    block = Text("      ", style=f"on {code}") if out.color_system and not out.no_color else Text()
    return Text(" ").join([block, Text(f"{visible(name):<{width - 8}} {code} ")])
