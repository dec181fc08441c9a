"""The command `doctor`, which checks a home and repairs it."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json
from flows.console.endings import print_json
from flows.console.interrupts import reporting

if TYPE_CHECKING:
    from flows.health.findings import Finding

WIDTH, SUBJECT_WIDTH, STATE_WIDTH = 80, 12, 9
_COLORS = {"ok": "green", "problem": "red", "repaired": "yellow"}


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    as_json: Json = False,
) -> None:
    """Check the databases, files, permissions and free space of a home; repair them on request.

    The exit status is 1 if a problem remains.
    """
    from flows.health.examination import examine  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    here = home.named()
    found = list["Finding"]()
    with reporting() as reporter:
        reporter.started("steps")
        for finding in examine(here, repair=repair, tell=lambda p: reporter.progressed("steps", p)):
            found.append(finding)
            if not as_json:
                reporter.close()
                _show(finding)
    left = [finding for finding in found if finding.state == "problem"]
    if as_json:
        rows = [
            {"subject": one.subject, "state": one.state, "said": one.said, "repairable": _can(one)}
            for one in found
        ]
        print_json({"home": str(here.root.resolve()), "checks": rows, "problems": len(left)})
    else:
        _conclude(left)
    if left:
        raise typer.Exit(1)


def _can(finding: "Finding") -> bool:
    return finding.repair is not None


def _show(finding: "Finding") -> None:
    """Print a finding: the subject, what was found, and on the right the state."""
    from rich.text import Text  # noqa: PLC0415

    from flows.console import printing  # noqa: PLC0415

    room = WIDTH - SUBJECT_WIDTH - STATE_WIDTH - 4
    first, *rest = textwrap.wrap(printing.visible(finding.said), room) or [""]
    line = Text(f"  {finding.subject:<{SUBJECT_WIDTH}}", style="dim")
    line.append(f"{first:<{room}}  ", style="not dim")
    line.append(f"{finding.state:>{STATE_WIDTH}}", style=f"not dim {_COLORS[finding.state]}")
    printing.out.print(line, soft_wrap=True)
    for more in rest:
        printing.out.print(Text(f"  {'':<{SUBJECT_WIDTH}}{more}"), soft_wrap=True)


def _conclude(left: "Sequence[Finding]") -> None:
    from flows.console import printing  # noqa: PLC0415

    if not left:
        return
    count = "1 problem" if len(left) == 1 else f"{len(left)} problems"
    can = sum(map(_can, left))
    how = f"`{printing.program()} doctor --repair` repairs {can} of them" if can else "see above"
    printing.out.print(f"\n  {count}: {how}", soft_wrap=True)
