"""Judge a case by its runs and by what the home holds after them."""

import re
import signal
from collections.abc import Sequence

from tests.storm.cases import Command, Facts, Fault, Outcome, Run

_TRACES = ("Traceback (most recent call last)", "Exception in thread", "Exception ignored in",
           "panicked at", "Fatal Python error")  # fmt: skip
_OUR_SIGNALS = {-signal.SIGKILL, -signal.SIGHUP, -signal.SIGTERM, -signal.SIGINT, -signal.SIGPIPE,
                -signal.SIGQUIT, -signal.SIGUSR1}  # fmt: skip
_REMEDY = re.compile(r"`(?:\S*/)?rnnlm ([^`]+)`")
INTERRUPTED = 130


def failing(run: Run) -> tuple[Outcome, str] | None:
    """Return why a run on its own is a failure, such as a hang or a crash; None if it is not."""
    if run.status is None:
        return Outcome.HUNG, f"did not end in {run.seconds:.0f} s: {last_line(run.err)}"
    if run.left_behind:
        return Outcome.HUNG, f"left behind: {', '.join(run.left_behind)[:120]}"
    for trace in _TRACES:
        if trace in run.err or trace in run.out:
            return Outcome.TRACEBACK, last_line(run.err)
    if run.status < 0 and run.status not in _OUR_SIGNALS:
        return Outcome.TRACEBACK, f"crashed with signal {-run.status}"
    if run.status > 0 and len(errors(run)) != 1:
        return Outcome.TRACEBACK, f"status {run.status} with {len(errors(run))} error lines"
    return None


def errors(run: Run) -> list[str]:
    """Return the error messages that a run printed."""
    return [line for line in run.err.splitlines() if line.startswith("error: ")]


def last_line(text: str) -> str:
    """Return the last line of a text that is not blank, shortened."""
    return next((line.strip()[:160] for line in reversed(text.splitlines()) if line.strip()), "")


def remedy(run: Run) -> list[str] | None:
    """Return the words of the command that an error message says to run, or None."""
    found = [match.group(1).split() for line in errors(run) for match in _REMEDY.finditer(line)]
    return next((words for words in found if words[0] in ("doctor", "train", "rollback")), None)


def difference(command: Command, wanted: Facts, found: Facts) -> tuple[Outcome, str] | None:
    """Return how a home differs from what a run without a fault leaves, or None.

    Args:
        command: The command; only facts that it is responsible for are compared.
        wanted: Facts of runs without a fault.
        found: Facts of the case.
    """
    owned = {name: value for name, value in wanted.items() if name.startswith(command.owns)}
    for name, value in found.items():
        is_count = name.startswith(("versions with ", "runs ")) and name.startswith(command.owns)
        if is_count and value > owned.get(name, 0):
            return Outcome.DOUBLED, f"{name}: {value} instead of {owned.get(name, 0)}"
    for name, value in owned.items():
        if name not in found:
            return Outcome.LOST, f"{name} is missing"
        if found[name] != value:
            if isinstance(value, int) and found[name] < value:
                return Outcome.LOST, f"{name}: {found[name]} instead of {value}"
            return Outcome.SILENT, f"{name} is {str(found[name])[:40]}, not {str(value)[:40]}"
    return None


def conclude(
    command: Command, fault: Fault, wanted: Facts, runs: Sequence[Run], found: Sequence[Facts]
) -> tuple[Outcome, str]:
    """Return the outcome of a case, and why.

    Args:
        command: The command.
        fault: The fault.
        wanted: Facts of runs without a fault.
        runs: The run with the fault, the rerun, and any run after the remedy that a message named.
        found: Facts after each of these runs.
    """
    for number, run in enumerate(runs):
        if bad := failing(run):
            return bad[0], f"{_which(number)}: {bad[1]}"
    for number, (run, facts) in enumerate(zip(runs, found, strict=True)):
        if fault.destroys and number == 0:
            continue
        if run.status == 0 and (unlike := difference(command, wanted, facts)):
            return unlike[0], f"{_which(number)}: {unlike[1]}"
    last = runs[-1]
    if last.status == 0:
        how = "" if runs[0].status == 0 else last_line(runs[0].err)
        return (Outcome.RECOVERED if len(runs) < 3 else Outcome.REFUSED), how
    message = errors(last)[0] if errors(last) else f"status {last.status}"
    return (Outcome.REFUSED if fault.may_refuse else Outcome.REFUSED_FOR_GOOD), message[:200]


def _which(number: int) -> str:
    return ("with the fault", "rerun", "after the remedy")[min(number, 2)]
