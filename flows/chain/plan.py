"""The plan of a run, made without running it: which stages are cached, and why others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.chain.stage import MissingError, Run, Stage


@dataclass(frozen=True)
class PlannedStage:
    """Whether a run would recall a stage from the cache or run it, and why."""

    name: str
    cached: bool
    reason: str


def plan(run: Run, stages: Sequence[Stage[Any]]) -> list[PlannedStage]:
    """Return what a run would do with each stage, without running anything.

    Args:
        run: The run. Recalled results are added to its `results`, other stages to its `missing`.
        stages: The stages of the chain, in order.

    Raises:
        CorpusError: The source is missing.
    """
    return [_planned(run, stage) for stage in stages]


def _planned(run: Run, stage: Stage[Any]) -> PlannedStage:
    try:
        result = stage.recall(run)
    except MissingError as error:
        run.missing[stage.name] = error.stage
        return PlannedStage(stage.name, False, f"follows {error.stage}")
    if result is None:
        run.missing[stage.name] = stage.name
        return PlannedStage(stage.name, False, stage.why(run))
    run.results[stage.name] = result
    return PlannedStage(stage.name, True, stage.where(run, result))
