"""The command `delete`, which deletes versions of models with everything that only they need."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import Json
from flows.console.endings import print_json
from rnnlm.errors import ConfigError

if TYPE_CHECKING:
    from flows.cleanup.deleting import Deletion


def delete(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[/VERSION]", help="name/version, name@alias, or a name for all versions."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete the champion, too.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a version, or a model with all versions, and what only they need; asks first."""
    from flows.cleanup import deleting  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    here = home.current()
    planned = deleting.plan(here, model, time.time(), force=force)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise ConfigError("expected --yes, since nobody can be asked here; nothing was deleted")
        _show(planned)
        typer.confirm("\n  Delete this for good?", abort=True, err=True)
    done = deleting.delete(here, model, time.time(), force=force)
    if as_json:
        print_json(_values(done))
    elif yes:
        _show(done)
    else:
        printing.out.print("  deleted")


def _show(deletion: "Deletion") -> None:
    """Print what is deleted, what that frees, and what stays."""
    from collections import Counter  # noqa: PLC0415

    from flows.cleanup.rules import readable  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415

    names = [f"{v.name}/{v.version}{f' @{v.alias}' if v.alias else ''}" for v in deletion.versions]
    sizes, counts = Counter[str](), Counter[str]()
    for leftover in deletion.leftovers:
        sizes[leftover.kind] += leftover.bytes
        counts[leftover.kind] += 1
    rows = [("deletes", ", ".join(names) or "an entry without versions")]
    rows += [
        ("", f"{counts[kind]} {said}, {readable(sizes[kind])}")
        for kind, said in _KINDS.items()
        if counts[kind]
    ]
    rows.append(("frees", readable(deletion.bytes)))
    if deletion.data_sets:
        rows.append(("keeps", f"{len(deletion.data_sets)} data sets that it generated"))
    printing.facts(rows)


def _values(deletion: "Deletion") -> dict[str, Any]:
    return {
        "versions": [f"{v.name}/{v.version}" for v in deletion.versions],
        "bytes": deletion.bytes,
        "deleted": [
            {"kind": one.kind, "what": one.what, "bytes": one.bytes} for one in deletion.leftovers
        ],
        "kept_data_sets": [str(path) for path in deletion.data_sets],
    }


_KINDS = {
    "version": "packaged in MLflow",
    "run": "of its MLflow runs",
    "step": "of its results in data/",
    "fetched": "fetched checkpoint",
    "packed": "packed form for sampling",
}
