"""Write docs/commands.md, the reference of all commands, from the command line itself.

python docs/figures/commands.py
"""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "commands.md"
TYPER = [sys.executable, "-m", "typer", "flows.cli", "utils", "docs", "--name", "rnnlm"]


def page() -> str:
    """Return the page, in Markdown: what Typer writes, with the examples as code."""
    written = subprocess.run(TYPER, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    about, _, rest = written.partition("**Commands**:")  # a list with shortened descriptions
    commands = rest[rest.index("\n## ") + 1 :]
    text = about.replace("# `rnnlm`", "# Commands", 1) + commands
    text = text.replace("\b\n", "")  # click's mark of a paragraph that keeps its lines
    text = re.sub(r"^Examples?:\n((?:  .*\n)+)", _as_code, text, flags=re.MULTILINE)
    text = re.sub(r"\n(?: *\n){2,}", "\n\n", text).strip()
    return text + "\n\n`python docs/figures/commands.py` writes this page.\n"


def _as_code(found: re.Match[str]) -> str:
    return f"**Examples**:\n\n```sh\n{dedent(found[1])}```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
