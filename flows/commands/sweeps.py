"""The command `sweep`, which trains with different settings and registers the best model."""

import shlex
from typing import Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json, Settings, Workers, read_experiment, set_workers
from flows.console.endings import print_json


def sweep(
    source: Annotated[
        str, typer.Argument(metavar="CONFIG|TEXT", help="A .toml config, or any text.")
    ],
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B|KEY=A..B",
            help="Vary a setting of model or training: choices, or a range with both ends, on a "
            "logarithmic scale if B is at least 10 times A (repeatable).",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Total number, including earlier runs of the same sweep.")
    ] = 20,
    settings: Settings = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Try settings, stop poor trials early, and register the best; rerun to resume."""
    from flows.console import screens  # noqa: PLC0415
    from flows.sweeping.space import check_trials, read_space  # noqa: PLC0415

    set_workers(workers)
    advice, experiment = read_experiment(source, tuple(settings or ()))
    check_trials(trials)  # refuse bad values before a server starts
    read_space(experiment, over or ())
    if advice:
        screens.show_advice(advice)
    with running.flow("flows.sweep:sweep") as sweep_flow:
        result: Any = sweep_flow(experiment, over or (), trials)
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from flows.console import printing  # noqa: PLC0415

    best, counts, test = result["best"], result["counts"], result["test"]
    alias = f" @{result['alias']}" if result["alias"] else ""
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    nothing = "; all were finished already, nothing was done" if result["unchanged"] else ""
    printing.out.print()
    printing.facts(
        [
            (
                "best",
                f"{best['bits_per_character']:.3f} bits per character on validation, "
                f"trial {best['number']} of {sum(counts.values())}",
            ),
            ("settings", " ".join(f"--set {shlex.quote(word)}" for word in best["settings"])),
            ("trials", ", ".join(parts) + nothing),
            ("model", f"{result['model']}/{result['version']}{alias}, {result['reason']}"),
            (
                "test",
                f"{test['bits_per_character']:.3f} bits per character "
                f"({test['bits_per_character_low']:.3f} to {test['bits_per_character_high']:.3f})",
            ),
            ("study", result["study"]),
            (
                "review",
                f"{printing.program()} ui   (the sweep's run in MLflow, with its trials nested)",
            ),
        ]
    )
