"""Commands about registered models: score and list them, and choose the champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json, ModelName, ModelReference
from flows.console.endings import print_json
from flows.console.interrupts import reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.registry import Move, Version

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
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.transfer.importing import moves_elsewhere  # noqa: PLC0415

    here = home.current()
    moves = registry.history(here, model)
    imported = [v for v in registry.versions(here, model) if v.imported_from]
    before = {v.version: (v.imported_from, moves_elsewhere(here, v)) for v in imported}
    if as_json:
        elsewhere = {
            str(number): {"was": was, "moves": [move.model_dump() for move in made]}
            for number, (was, made) in before.items()
        }
        listed = {"model": model, "moves": [move.model_dump() for move in moves]}
        print_json({**listed, "imported": elsewhere} if elsewhere else listed)
        return
    if moves or not imported:
        _show_moves(moves)
    for number, (was, made) in before.items():
        printing.paragraph(f"{model}/{number} was imported: it was {was}", space=bool(moves))
        if made:
            _show_moves(made)


def _show_moves(moves: "Sequence[Move]") -> None:
    from flows.console import tables  # noqa: PLC0415

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
