"""`python -m tests.mutants`: change the core's code one operator at a time; do the tests notice?

mutmut makes the changes (mutants) in a copy of the project, and runs for each the tests that reach
the changed function. A mutant is killed if one of them fails, or does not end.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEED = 22
BEGINNING, END = "<!-- make mutants -->\n", "<!-- end of make mutants -->\n"
TESTS = {
    "rnnlm/sampling.py": ("test_sampling.py", "independent/test_multinomial.py"),
    "rnnlm/batching.py": ("test_batching.py",),
    "rnnlm/metrics.py": ("test_metrics.py", "evaluation/test_scoring.py"),
    "rnnlm/gate.py": ("test_gate.py",),
    "rnnlm/evaluation/comparison.py": (
        "evaluation/test_comparison.py",
        "independent/test_bootstrap.py",
    ),
    "rnnlm/evaluation/intervals.py": (
        "evaluation/test_intervals.py",
        "independent/test_bootstrap.py",
    ),
    "rnnlm/corpora/splitting.py": ("corpora/test_splitting.py",),
    "rnnlm/corpora/cutting.py": ("corpora/test_cutting.py", "corpora/test_paragraphs.py"),
    "rnnlm/constraints/acceptors.py": ("constraints/test_acceptors.py",),
    "rnnlm/constraints/automaton.py": ("constraints/test_automaton.py",),
    "rnnlm/constraints/healing.py": ("constraints/test_healing.py",),
    "rnnlm/engine/texts.py": ("engine/test_texts.py",),
    "rnnlm/generation/accepting.py": ("generation/test_accepting.py",),
    "rnnlm/generation/selecting.py": ("generation/test_selecting.py",),
    "flows/chain/records.py": ("flows/chain/test_records.py", "flows/chain/test_shared_steps.py"),
}
"""The modules to change, and the tests of each, in `tests/`."""
CONFIG = """
[tool.mutmut]
source_paths = ["rnnlm", "flows", "rnnlm_flows"]
only_mutate = {modules}
also_copy = ["setup.py", "configs", "docs", "benchmarks", "README.md", "LICENSE"]
pytest_add_cli_args = ["-q", "-m", "not slow and not service", "--hypothesis-profile", "quick"]
pytest_add_cli_args_test_selection = {tests}
"""


def main() -> int:
    """Print the table and the mutants that survived; return 1 if fewer than 85% are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", help="only modules whose path contains this")
    parser.add_argument("--most", type=int, default=200, help="mutants per module, drawn at random")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the table into this document")
    asked = parser.parse_args()
    modules = [module for module in TESTS if (asked.only or "") in module]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        project = Path(scratch)
        copy_project(project)
        tests = sorted({f"tests/{test}" for module in modules for test in TESTS[module]})
        with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(CONFIG.format(modules=modules, tests=tests))
        mutmut(project, "run", "--max-children", "1", "no such mutant")
        chosen = draw({module: [*outcomes(project, module)] for module in modules}, asked.most)
        mutmut(project, "run", "--max-children", str(asked.jobs), *chain(*chosen.values()))
        ended = {m: {name: outcomes(project, m)[name] for name in chosen[m]} for m in modules}
        if skipped := sum(how == "not run" for of in ended.values() for how in of.values()):
            sys.exit(f"{skipped} mutants were not run: a test fails without any change, too")
        made = {module: len(outcomes(project, module)) for module in modules}
        survivors = [name for m in modules for name, how in ended[m].items() if how != "killed"]
        minutes = (time.monotonic() - began) / 60
        text = table(made, ended) + f"\n{minutes:.0f} minutes (seed {SEED}, {asked.jobs} jobs).\n"
        sys.stdout.write(text)
        for name in survivors:
            sys.stdout.write(f"\n{name}\n{change(project, name)}")
    if asked.write:
        page = asked.write.read_text("utf-8")
        before, after = page.partition(BEGINNING)[0], page.partition(END)[2]
        asked.write.write_text(before + BEGINNING + text + END + after, "utf-8")
    return int(len(survivors) > 0.15 * sum(map(len, chosen.values())))


def draw(made: dict[str, list[str]], most: int) -> dict[str, list[str]]:
    """Return for each module the names of its mutants, or of as many as `most` of them."""
    chance = random.Random(SEED)
    return {m: sorted(chance.sample(sorted(n), min(most, len(n)))) for m, n in made.items()}


def copy_project(to: Path) -> None:
    """Copy the files that git knows, and the compiled modules."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    compiled = [str(path.relative_to(ROOT)) for path in (ROOT / "rnnlm").rglob("*.so")]
    for name in [*listed, *compiled]:
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def mutmut(project: Path, *words: str) -> str:
    """Run mutmut in a project; return what it prints."""
    command = [sys.executable, "-m", "mutmut", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if words[0] == "run" and not (project / "mutants").is_dir():
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def outcomes(project: Path, module: str) -> dict[str, str]:
    """Return `killed`, `survived` or `not reached` for each mutant of a module, by its name."""
    facts = json.loads((project / "mutants" / f"{module}.meta").read_text("utf-8"))
    codes = facts["exit_code_by_key"]
    words = {0: "survived", 5: "not reached", 33: "not reached", None: "not run"}
    return {name: words.get(code, "killed") for name, code in codes.items()}


def change(project: Path, name: str) -> str:
    """Return the lines that a mutant changes."""
    shown = mutmut(project, "show", name).splitlines()
    kept = [line for line in shown if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "".join(f"  {line}\n" for line in kept)


def table(made: dict[str, int], ended: dict[str, dict[str, str]]) -> str:
    """Return the table in Markdown."""
    rows = ["| module | mutants | tried | killed | survived | not reached |"]
    rows.append("|---|---:|---:|---:|---:|---:|")
    total: Counter[str] = Counter()
    for module, count in made.items():
        counts = Counter(ended[module].values())
        counts.update(made=count, tried=len(ended[module]))
        total += counts
        rows.append(_row(f"`{module}`", counts))
    rows.append(_row("**all**", total))
    return "\n".join(rows) + "\n"


def _row(name: str, counts: Counter[str]) -> str:
    share = counts["killed"] / max(1, counts["tried"])
    cells = [f"{counts['made']:,}", f"{counts['tried']:,}", f"{share:.0%}"]
    cells += [f"{counts[how]:,}" for how in ("survived", "not reached")]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
