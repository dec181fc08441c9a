"""What a check of a home found, and how to repair it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from rnnlm.errors import RnnlmError

State = Literal["ok", "problem", "repaired"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: What was checked, in one or two words.
        said: What was found, and for a problem without `repair`, what to do.
        state: `ok`, `problem` or `repaired`.
        repair: Function that repairs the problem and returns what it did; None if nothing can.
    """

    subject: str
    said: str
    state: State = "ok"
    repair: Callable[[], str] | None = None


def problem(subject: str, said: str, repair: Callable[[], str] | None = None) -> Finding:
    """Return a finding that is a problem."""
    return Finding(subject, said, "problem", repair)


def repaired(finding: Finding) -> Finding:
    """Repair a problem; return the finding as it is afterwards.

    A finding that is not a problem, or that cannot be repaired, is returned unchanged.
    """
    if finding.state != "problem" or finding.repair is None:
        return finding
    try:
        said = finding.repair()
    except (RnnlmError, OSError) as error:
        return replace(finding, said=f"{finding.said}; not repaired: {error}", repair=None)
    return Finding(finding.subject, f"{finding.said}: {said}", "repaired")
