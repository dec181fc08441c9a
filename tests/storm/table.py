"""Write the outcomes of a storm: as a line, as a table, and as a section of a document."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.storm.cases import Judged, Outcome

BEGIN, END = "<!-- make storm -->", "<!-- end of make storm -->"


def line(judged: Judged, done: int, total: int) -> str:
    """Return the outcome of one case in one line, and details of a bad one in further lines."""
    seconds = sum(run.seconds for run in judged.runs)
    text = f"{done:4}/{total} {judged.outcome:17} {seconds:5.0f} s  {judged.command}: "
    text += f"{judged.fault.name}"
    if judged.why:
        text += f"\n{'':10}{judged.why}"
    if not judged.outcome.is_good:
        for run in judged.runs:
            text += f"\n{'':10}[{run.status}] " + " ⏎ ".join(run.err.splitlines()[-4:])[-400:]
    return text + "\n"


def markdown(judged: Sequence[Judged], seed: int, seconds: float) -> str:
    """Return the table: a row per family of faults, a column per outcome."""
    all_ran = all(one.outcome is not Outcome.NOT_RUN for one in judged)
    outcomes = [o for o in Outcome if o is not Outcome.NOT_RUN or not all_ran]
    rows = [
        "| fault | " + " | ".join(outcomes) + " |",
        "|---|" + "---:|" * len(outcomes),
    ]
    families = Counter(one.fault.family for one in judged)
    for family in families:
        counts = Counter(one.outcome for one in judged if one.fault.family == family)
        rows.append(f"| {family} | " + " | ".join(str(counts[o] or "") for o in outcomes) + " |")
    counts = Counter(one.outcome for one in judged)
    rows.append("| **all** | " + " | ".join(f"**{counts[o]}**" for o in outcomes) + " |")
    by_command = Counter(one.command for one in judged)
    over = ", ".join(f"{name} {count}" for name, count in by_command.most_common())
    summary = f"{len(judged)} faults in {seconds / 60:.0f} min (seed {seed}): {over}."
    return "\n".join([*rows, "", summary, ""])


def write(document: Path, text: str) -> None:
    """Replace the table between the marks in a document."""
    before = document.read_text("utf-8")
    pattern = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
    document.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text}{END}", before), "utf-8")
