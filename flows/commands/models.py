"""Commands about registered models: score, export and list them, and choose the champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json, ModelName, ModelReference
from flows.console.endings import print_json
from flows.console.interrupts import reporting

if TYPE_CHECKING:
    from flows.registry import Version

Why = Annotated[str | None, typer.Option(help="Reason to record in the history.")]


def evaluate(
    model: ModelReference,
    text: Annotated[Path | None, typer.Option(help="Score this file, not the test split.")] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Let the model learn as it reads.")
    ] = False,
    rate: Annotated[float | None, typer.Option(min=0.0, help="Learning rate of --dynamic.")] = None,
    decay: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Pull back to the trained weights, with --dynamic."),
    ] = None,
    cache: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Use a cache of this many past steps.")
    ] = 0,
    weight: Annotated[
        float | None, typer.Option(min=0.0, max=0.99, help="Share of --cache in predictions.")
    ] = None,
    flatness: Annotated[
        float | None, typer.Option(min=0.0, help="Factor on similarities, with --cache.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on its test split, or on any text."""
    from flows import registry  # noqa: PLC0415
    from flows.commands import scoring  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    adaptation = scoring.choose_adaptation(dynamic, rate, decay, cache, weight, flatness)
    here = home.current()
    version = registry.resolve(here, model)
    with reporting() as reporter:
        reporter.started("evaluate")
        scored = scoring.score(
            here,
            version,
            text,
            adaptation,
            lambda progress: reporter.progressed("evaluate", progress),
        )
        reporter.close()
    if as_json:
        print_json(scoring.as_values(scored, version, text))
    else:
        printing.facts(scoring.show(scored, version))


def export(
    model: ModelReference,
    out: Annotated[
        Path | None,
        typer.Option(help="Small file to start trainings from, ending in .safetensors."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Web page that holds the model, ending in .html.")
    ] = None,
) -> None:
    """Write a model as one file: to start other trainings from, or a page that draws texts."""
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from rnnlm.errors import ConfigError  # noqa: PLC0415

    if (out is None) == (html is None):
        raise ConfigError(
            "expected one of --out FILE.safetensors (to start trainings from) and "
            "--html FILE.html (a web page that holds the model)"
        )
    if html is not None:
        if html.suffix not in (".html", ".htm"):
            raise ConfigError(f"--html {html}: expected a name that ends in .html")
        from flows.commands.playing import write_html  # noqa: PLC0415
        from flows.lookup.finding import find  # noqa: PLC0415

        printing.facts(write_html(find(home.current(), model, verify=True), html))
        return
    assert out is not None
    from flows import registry  # noqa: PLC0415
    from flows.registry import bases  # noqa: PLC0415

    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: expected a name that ends in .safetensors")
    here = home.current()
    card = bases.export(here, registry.resolve(here, model), out)
    printing.facts(
        [
            ("base", f"{out}, {out.stat().st_size / 1e6:.2f} MB"),
            ("card", str(card)),
            ("use", f"--set training.base={out}"),
        ]
    )


def models(as_json: Json = False) -> None:
    """List the registered models and their versions."""
    from flows import registry  # noqa: PLC0415
    from flows.console import printing, tables  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    found = registry.versions(home.current())
    if as_json:
        print_json({"models": [version.model_dump() for version in found]})
        return
    if not found:
        printing.out.print(f"  no models yet; train one with `{printing.program()} train FILE`")
        return
    tables.show(
        ["model", "version", "alias", "test bits/character", "corpus", "why"],
        [
            [
                v.name,
                v.version,
                v.alias or "",
                f"{v.test_bits_per_character:.3f}",
                v.corpus_digest[:8],
                v.reason,
            ]
            for v in found
        ],
        right=[1, 3],
        optional=[4],
    )


def promote(
    model: ModelName,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version's number.")],
    why: Why = None,
    as_json: Json = False,
) -> None:
    """Make a version the champion, whatever the gate decided."""
    from flows import registry  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    here, said = home.current(), why or "promoted by hand"
    _show_move(registry.promote(here, model, version, said), as_json)


def rollback(model: ModelName, why: Why = None, as_json: Json = False) -> None:
    """Make the previous champion the champion again."""
    from flows import registry  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    here, said = home.current(), why or "rolled back by hand"
    _show_move(registry.rollback(here, model, said), as_json)


def history(model: ModelName, as_json: Json = False) -> None:
    """Show which version was champion when, and why."""
    from flows import registry  # noqa: PLC0415
    from flows.console import tables  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    moves = registry.history(home.current(), model)
    if as_json:
        print_json({"model": model, "moves": [move.model_dump() for move in moves]})
        return
    tables.show(
        ["when (UTC)", "champion", "why", "who"],
        [
            [
                move.when.replace("T", " ")[:19],
                f"{move.before or '–'} → {move.after}",
                move.why,
                move.who,
            ]
            for move in moves
        ],
    )


def _show_move(version: "Version", as_json: bool) -> None:
    if as_json:
        print_json(version.model_dump())
        return
    from flows.console import printing  # noqa: PLC0415

    printing.facts([("champion", f"{version.name}/{version.version}")])
