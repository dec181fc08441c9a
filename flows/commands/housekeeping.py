"""The command `housekeeping`, which lists and removes files and runs that are no longer needed."""

import time
from typing import Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json
from flows.console.endings import print_json


def housekeeping(
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is listed.")] = False,
    keep_days: Annotated[
        float, typer.Option(help="Keep anything younger than this many days.")
    ] = 30.0,
    keep_versions: Annotated[
        int, typer.Option(help="Newest versions of each model to keep, aliased or not.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """List what is no longer needed and, with --apply, remove it."""
    from flows.cleanup.rules import Rules  # noqa: PLC0415

    Rules(keep_days, keep_versions, time.time())  # refuse bad values before a server starts
    with running.flow("flows.housekeeping:housekeeping") as tidy:
        result = tidy(apply, keep_days, keep_versions)
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from flows.cleanup.rules import readable  # noqa: PLC0415
    from flows.console import printing, tables  # noqa: PLC0415
    from flows.housekeeping import sentence  # noqa: PLC0415

    if result["leftovers"]:
        tables.show(
            ["kind", "what", "size", "days", "why"],
            [
                [row["kind"], row["what"], readable(row["bytes"]), f"{row['days']:.1f}", row["why"]]
                for row in result["leftovers"]
            ],
            right=[2, 3],
        )
        printing.out.print()
    if result["left_out"]:
        printing.out.print(f"  … and {result['left_out']:,} more")
    for note in result["notes"]:
        printing.out.print(f"  {note}", soft_wrap=True)
    if result["in_use"]:
        names = ", ".join(result["in_use"])
        printing.out.print(f"  in use, left alone: {names}", soft_wrap=True)
    printing.out.print(f"  {sentence(result)}", soft_wrap=True)
