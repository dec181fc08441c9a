"""The command `init`, which writes a project."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json
from flows.console.endings import print_json


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Folder of the project; default: this one.")
    ] = Path(),
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Text to train on; default: the demo's colour names."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a project: a config, schedules, .gitignore and README; overwrite nothing."""
    from flows.commands import projects  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415

    project = projects.write(folder, text)
    if as_json:
        written, kept = list(project.written), list(project.kept)
        print_json({"project": str(project.folder), "written": written, "kept": kept})
        return
    rows = [("project", str(project.folder))]
    if project.written:
        rows.append(("wrote", ", ".join(project.written)))
    if project.kept:
        rows.append(("kept", ", ".join(project.kept)))
    go = "" if project.folder == Path.cwd() else f"cd {folder} && "
    rows += [("train", f"{go}rnnlm train rnnlm.toml"), ("schedule", f"{go}rnnlm serve")]
    printing.facts(rows)
