"""The command `generate`, which generates data sets of texts."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json, ModelReference, set_workers
from flows.commands.settings import options_of, pairs
from flows.console.amounts import amount
from flows.console.endings import print_json
from rnnlm.config import GenerationConfig

if TYPE_CHECKING:
    from flows.chain.request import Wanted
    from rnnlm.generation.parts import Part


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
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder, or address such as s3://bucket/texts, for this data set only; default: "
            "a folder named after version and settings.",
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
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only draw this share of the texts, such as 3/8. Run all parts, on any machines "
            "that share the folder, then --finish.",
        ),
    ] = None,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Write the data set from the texts that all parts drew."),
    ] = False,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Generate a data set of texts from a registered model.

    Options that are not given default to the model's configuration.
    """
    settings["given"] = pairs(settings["given"])
    set_workers(workers, scheduler)
    share = _share(part, finish=finish)

    def prepare() -> "Wanted":
        from flows.chain import request  # noqa: PLC0415 - slow to import
        from flows.runtime import home  # noqa: PLC0415

        return request.prepare(home.current(), model, settings, prefixes, out, sys.argv)

    if share:
        _draw(prepare(), share, as_json=as_json)
        return
    with running.starting() as load:
        wanted = prepare()
        named = f"{wanted.version.name}/{wanted.version.version}"
        data_set = load("flows.generation:generate")(
            named,
            {key: value for key, value in settings.items() if value is not None},
            str(prefixes) if prefixes else None,
            out,
            command=shlex.split(wanted.about.command),
            parts_only=finish,
        )
    if as_json:
        version = wanted.version
        print_json({"model": version.name, "version": version.version, **data_set.model_dump()})
        return
    from flows.console import printing, screens  # noqa: PLC0415
    from flows.lookup.references import is_second_choice  # noqa: PLC0415

    screens.show_texts(data_set.form, data_set.examples)
    figures = screens.texts_facts(data_set.model_dump() | {"path": data_set.uri})
    if is_second_choice(model, wanted.version.name, wanted.version.alias):
        named += ", the challenger, since there is no champion yet"
    printing.facts([("model", named), *figures])


def _share(text: str | None, *, finish: bool) -> "Part | None":
    """Return the part that `--part` names, if it was given."""
    if text is None:
        return None
    from rnnlm.errors import ConfigError  # noqa: PLC0415
    from rnnlm.generation.parts import Part  # noqa: PLC0415

    if finish:
        raise ConfigError(
            "both --part and --finish are given (expected one); run all parts first, then --finish"
        )
    return Part.parse(text)


def _draw(wanted: "Wanted", part: "Part", *, as_json: bool) -> None:
    """Draw a part of a data set, without Prefect and MLflow, and print what is left to do."""
    from flows.console import interrupts, printing  # noqa: PLC0415
    from flows.runtime import home, model_locks, reporting, workers  # noqa: PLC0415
    from rnnlm.generation.parts import draw_part  # noqa: PLC0415
    from rnnlm.generation.plan import plan_job  # noqa: PLC0415

    with (
        interrupts.reporting() as reporter,
        model_locks.working_on(home.current(), wanted.version.name),
        workers.generating(wanted.config) as executor,
    ):
        reporter.started("generate")
        job = plan_job(
            wanted.checkpoint,
            wanted.config,
            wanted.form,
            wanted.source,
            wanted.prefixes,
            wanted.packed,
        )
        if wanted.store:
            wanted.store.claim(job.job)
        tell = reporting.teller("generate")
        done = draw_part(part, job, wanted.out, on_progress=tell, executor=executor)
    if as_json:
        print_json({"part": part.number, "of": part.of, "texts": done.texts, "left": done.left})
        return
    shown = ", ".join(map(str, done.left[:10])) + (", …" if len(done.left) > 10 else "")
    which = "part" if len(done.left) == 1 else "parts"
    left = f"to run: {which} {shown}" if done.left else "nothing; write the data set with --finish"
    printing.facts(
        [
            ("part", f"{part.number:,} of {part.of:,}: {done.texts:,} texts drawn"),
            ("folder", str(wanted.out)),
            ("left", left),
        ]
    )
