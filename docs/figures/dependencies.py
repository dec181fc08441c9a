"""Write the table of docs/dependencies.md: what each direct dependency is for, and what it costs.

    python docs/figures/dependencies.py

Sizes are those of the installed packages. The time of an import is processor time in a new process,
the least of three, without that of Python itself; a package that others import too is counted for
each of them.
"""

import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "dependencies.md"
BEGINNING, END = "<!-- dependencies -->\n", "<!-- end of dependencies -->\n"
MODULES = {
    "markdown-it-py": "markdown_it",
    "pyspellchecker": "spellchecker",
    "pyyaml": "yaml",
}
"""Names of modules that are not those of their packages."""


def main() -> None:
    """Measure, and write the table."""
    purposes = read_purposes()
    every = needed_by(purposes)
    idle = import_seconds("sys")
    rows = []
    for name, why in purposes.items():
        alone = every - needed_by([other for other in purposes if other != name])
        seconds = max(0.0, import_seconds(MODULES.get(name, name.replace("-", "_"))) - idle)
        rows.append((megabytes(alone), name, why, len(alone), megabytes([name]), seconds))
    lines = ["| package | what for | MB | MB only for it | packages only for it | import, s |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for freed, name, why, count, own, seconds in sorted(rows, reverse=True):
        lines.append(f"| {name} | {why} | {own:,.1f} | {freed:,.1f} | {count} | {seconds:.2f} |")
    lines.append(f"\n{len(purposes)} direct dependencies, {len(every)} in all, ")
    lines[-1] += f"{megabytes(every):,.0f} MB.\n"
    page = PAGE.read_text("utf-8")
    before, after = page.partition(BEGINNING)[0], page.partition(END)[2]
    PAGE.write_text(before + BEGINNING + "\n".join(lines) + END + after, "utf-8")


def read_purposes() -> dict[str, str]:
    """Return what each direct dependency is for, by its name: the comments in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    comments = dict(re.findall(r'^ {4}"([^"]+)", *# (.+)$', text, re.MULTILINE))
    return {
        Requirement(r).name: comments[r] for r in tomllib.loads(text)["project"]["dependencies"]
    }


def needed_by(names: Iterable[str]) -> set[str]:
    """Return the names of packages with all that they need, directly or not."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += requirements(name)
    return found


@cache
def requirements(name: str) -> list[str]:
    """Return the installed packages that a package requires, without its extras."""
    needed = map(Requirement, metadata.requires(name) or ())
    here = [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
    names = [re.sub(r"[-_.]+", "-", one.name).lower() for one in here]
    return [name for name in names if is_installed(name)]


@cache
def is_installed(name: str) -> bool:
    """Return whether a package is installed."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def megabytes(names: Collection[str]) -> float:
    """Return the size of the files of packages."""
    files = [file.locate() for name in names for file in metadata.files(name) or ()]
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file()) / 1e6


def import_seconds(module: str) -> float:
    """Return the processor time of a new process that imports a module."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {module}"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


if __name__ == "__main__":
    main()
