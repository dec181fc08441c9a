"""The command `train`, which trains a model."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json, Settings, Workers, read_experiment, set_workers
from flows.console.endings import print_json
from flows.console.interrupts import reporting

if TYPE_CHECKING:
    from flows.chain.plan import PlannedStage
    from rnnlm.autoconfig import Advice
    from rnnlm.config import Experiment


def train(
    source: Annotated[
        str, typer.Argument(metavar="CONFIG|TEXT", help="A .toml config, or any text.")
    ],
    settings: Settings = None,
    workers: Workers = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would run, without running it.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run all steps, even cached ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a configured corpus or on any text, register it, and show samples."""
    from flows.console import screens  # noqa: PLC0415

    set_workers(workers)
    advice, experiment = read_experiment(source, tuple(settings or ()))
    if advice:
        screens.show_advice(advice, None if plan else _forecast(advice, experiment))
    if plan:
        _show_plan(experiment, force, as_json)
        return
    if not force and all(stage.cached for stage in _planned(experiment)):  # nothing to orchestrate
        with reporting() as reporter:
            from flows.retrain import make  # noqa: PLC0415

            result: Any = make(experiment, "manual", reporter)
    else:
        with running.flow("flows.retrain:retrain") as retrain:
            result = retrain(experiment, force=force)
    if as_json:
        print_json(result)
    else:
        screens.show_result(result)


def _forecast(advice: "Advice", experiment: "Experiment") -> float | None:
    from rnnlm.training.forecast import expected_seconds  # noqa: PLC0415

    return expected_seconds(experiment, advice.vocab_size, advice.document_tokens, advice.documents)


def _planned(experiment: "Experiment") -> "list[PlannedStage]":
    from flows.chain.plan import plan  # noqa: PLC0415
    from flows.chain.stage import Run  # noqa: PLC0415
    from flows.chain.stages import CHAIN  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    return plan(Run(home.current(), experiment), CHAIN)


def _show_plan(experiment: "Experiment", force: bool, as_json: bool) -> None:
    from flows.chain import records  # noqa: PLC0415
    from flows.console import screens  # noqa: PLC0415

    with records.forced(force):
        planned = _planned(experiment)
    if as_json:
        rows = [{"step": s.name, "cached": s.cached, "reason": s.reason} for s in planned]
        print_json({"model": experiment.name, "plan": rows})
    else:
        screens.show_plan(planned)
