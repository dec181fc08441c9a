"""Install four tools, train on one text with each, and write the tables of docs/comparison.md.

    python docs/figures/comparison.py --sources FOLDER [--only rnnlm,…] [--texts colours,alice]
        [--old-python python3.8]

FOLDER contains clones of char-rnn.pytorch and nanoGPT. Each tool gets an empty environment, and the
lines that its README gives are run one after the other; the page shows them. The texts are the
colours of the demo and, if RNNLM_CORPORA is set, novels/alice_in_wonderland.txt. Results are
kept in data/comparison/, and the page is written from them, so that tools can be measured in
several runs.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from comparison_tools import TEMPERATURES, TOOLS, install, measure
from rnnlm import colors
from rnnlm.audit.words import open_words, write_words
from rnnlm.corpora.catalog import xkcd_colors

PAGE = ROOT / "docs" / "comparison.md"
KEPT = ROOT / "data" / "comparison"
LIMITS = {"colours": 100.0, "alice": 240.0}
"""CPU-seconds, a little more than `rnnlm train` takes, after which textgenrnn and
char-rnn.pytorch are interrupted, as with Ctrl-C; both keep what they have learned by then."""
SHOWN_LINES, SHOWN_CHARACTERS = 8, 600
"""What the page shows of the screen at the end of training, and of the first text."""


def texts() -> dict[str, str]:
    """Return the texts to train on, by name."""
    rows = [(row["name"], str(row["hex"]).lstrip("#")) for row in xkcd_colors()]
    lines = [
        " ".join([name, *(str(int(code[n : n + 2], 16)) for n in (0, 2, 4))]) for name, code in rows
    ]
    found = {"colours": "\n".join(lines) + "\n"}
    if corpora := os.environ.get("RNNLM_CORPORA"):
        found["alice"] = (Path(corpora) / "novels/alice_in_wonderland.txt").read_text("utf-8")
    return found


def timetable(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of the tools' steps."""
    yield (
        "| tool | lines typed | edits | installed MiB | install | train | first text | "
        "together | wall: install | train | first text |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for tool, result in results.items():
        steps = result["steps"]
        parts = (steps[:1], steps[1:-1], steps[-1:])
        spent = [sum(step["cpu_seconds"] for step in part) for part in parts]
        waited = [sum(step["seconds"] for step in part) for part in parts]
        mark = "*" if any(step["interrupted"] for step in steps) else ""
        cells = [
            tool,
            str(sum(len(step["lines"]) for step in steps)),
            str(len(result["edits"])),
            f"{result['mebibytes']:,}",
            f"{spent[0]:.0f}",
            f"{spent[1]:.0f}{mark}",
            f"{spent[2]:.1f}",
            f"{sum(spent):.0f}",
            f"{waited[0]:.0f}",
            f"{waited[1]:.0f}",
            f"{waited[2]:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"


def quality(results: dict[str, dict[str, Any]], text: str) -> Iterator[str]:
    """Yield the lines of a table of the shares of existing words and copied lines.

    Args:
        results: What was measured of each tool.
        text: The text that they were trained on.
    """
    at = " | ".join(f"{t:g}" for t in TEMPERATURES)
    is_list = all(colors.parse(line) for line in text.splitlines())
    yield (
        f"| tool | default temperature | words that exist: default | {at} | lines copied: default "
        f"| {at} | words counted at {TEMPERATURES[0]:g} |{' colours at default |' * is_list}"
    )
    yield f"|---|---|{'---:|' * (2 * len(TEMPERATURES) + 3 + is_list)}"
    lines = {_without_numbers(line) for line in text.splitlines()}
    with tempfile.TemporaryDirectory() as scratch:
        write_words(Path(scratch), [text])
        known = open_words(Path(scratch))
        for tool, result in results.items():
            words = [known.count(drawn) for drawn in result["drawn"].values()]
            drawn = [
                [line for t in texts for line in t.splitlines() if line]
                for texts in result["drawn"].values()
            ]
            copied = [sum(_without_numbers(line) in lines for line in d) / len(d) for d in drawn]
            cells = [
                tool,
                result["default"],
                *(f"{found / total:.1%}" for found, total in words),
                *(f"{share:.0%}" for share in copied),
                f"{words[1][1]:,}",
            ]
            if is_list:
                cells.append(
                    f"{sum(bool(colors.parse(line)) for line in drawn[0]) / len(drawn[0]):.0%}"
                )
            yield f"| {' | '.join(cells)} |"


def _without_numbers(line: str) -> str:
    """Return a line without the numbers at its end, such as those of a colour."""
    return line.rstrip(" 0123456789")


def screens(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what was typed and what was on the screen, by tool."""
    for tool, result in results.items():
        yield f"\n### {tool}\n\n```sh"
        steps = result["steps"]
        for step in steps[:-1]:
            yield from step["lines"]
            if step is steps[0]:
                yield from result["edits"]
        yield from steps[-1]["lines"]
        yield "```\n\nThe end of training:\n\n```text"
        yield from _last_lines(steps[-2]["screen"])
        yield "```\n\nThe first text:\n\n```text"
        first = steps[-1]["screen"].strip("\n")
        yield first if len(first) <= SHOWN_CHARACTERS else first[:SHOWN_CHARACTERS] + " …"
        yield "```"


def _last_lines(screen: str) -> list[str]:
    """Return the last lines of a screen: of lines that overwrite themselves, what was left."""
    shown = [re.split("[\r\b]", line.rstrip("\r"))[-1].rstrip() for line in screen.split("\n")]
    return [line[:160] for line in shown if line][-SHOWN_LINES:]


def write_page() -> None:
    """Put the tables of the kept results between their marks on the page."""
    page, every = PAGE.read_text("utf-8"), texts()
    for kept in sorted(KEPT.glob("*.json")):
        if kept.stem not in every:
            continue
        found = json.loads(kept.read_text("utf-8"))
        results = {tool: found[tool] for tool in TOOLS if tool in found}
        tables = {
            "steps": timetable(results),
            "words": quality(results, every[kept.stem]),
            "screens": screens(results),
        }
        for name, lines in tables.items():
            begin, end = f"<!-- {kept.stem} {name} -->", f"<!-- end of {kept.stem} {name} -->"
            if begin in page:
                before, _, rest = page.partition(begin)
                made = "\n".join(lines).strip("\n")
                page = f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page, "utf-8")


def main() -> None:
    """Measure the tools and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder with the clones")
    parser.add_argument("--only", default=",".join(TOOLS), help="tools, with commas between")
    parser.add_argument("--texts", default=",".join(texts()), help="texts, with commas between")
    parser.add_argument("--old-python", default="python3.8", help="Python for textgenrnn")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as in the background
    every, installed = texts(), {}
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        for name in options.texts.split(","):
            for tool in options.only.split(","):
                if tool not in installed:
                    python = options.old_python if tool == "textgenrnn" else sys.executable
                    installed[tool] = install(tool, python, scratch, options.sources)
                folder = scratch / f"{tool}-{name}"
                result = measure(
                    tool, every[name], LIMITS[name], installed[tool], folder, options.sources
                )
                kept = KEPT / f"{name}.json"
                found = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
                kept.write_text(json.dumps(found | {tool: result}, ensure_ascii=False), "utf-8")
                print(f"{tool}: {name} measured", flush=True)
    write_page()


if __name__ == "__main__":
    main()
