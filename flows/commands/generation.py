"""The command `generate`, which generates data sets of texts."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json, ModelReference, set_workers
from flows.commands.settings import options_of, pairs
from flows.console.amounts import amount
from flows.console.endings import print_json
from rnnlm.config import GenerationConfig


@options_of(GenerationConfig, {"count": amount})
def generate(
    model: ModelReference,
    prefixes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Begin text n with line n of this file, starting over after its last line.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for this data set only; default: named after version and settings."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that draw texts; default: one per core for large jobs."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers draw the texts."),
    ] = None,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Generate a data set of texts from a registered model.

    Options that are not given default to the model's configuration.
    """
    from flows.chain import request  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    settings["given"] = pairs(settings["given"])
    set_workers(workers, scheduler)
    wanted = request.prepare(home.current(), model, settings, prefixes, out, sys.argv)
    named = f"{wanted.version.name}/{wanted.version.version}"
    with running.flow("flows.generation:generate") as generate_flow:
        data_set = generate_flow(
            named,
            {key: value for key, value in settings.items() if value is not None},
            str(prefixes) if prefixes else None,
            str(out) if out else None,
            command=shlex.split(wanted.about.command),
        )
    if as_json:
        version = wanted.version
        print_json({"model": version.name, "version": version.version, **data_set.model_dump()})
        return
    from flows.console import printing, screens  # noqa: PLC0415

    screens.show_texts(data_set.form, data_set.examples)
    figures = screens.texts_facts(data_set.model_dump() | {"path": data_set.uri})
    printing.facts([("model", named), *figures])
