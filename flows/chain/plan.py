"""The plan of a run: which stages have a cached result, and why the other stages would run.

The plan is made without running any stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.chain.stage import MissingError, Run, Stage


@dataclass(frozen=True)
class PlannedStage:
    """What a run would do with a stage.

    Attributes:
        name: Name of the stage.
        cached: Whether the stage's result would be read from disk instead of being made.
        reason: Why the stage would run, or which cached result was found, in a few words.
    """

    name: str
    cached: bool
    reason: str


def plan(run: Run, stages: Sequence[Stage[Any]]) -> list[PlannedStage]:
    """Return what a run would do with each stage, without running anything.

    Args:
        run: The run. Cached results are added to `run.results`, and stages without a cached result
            to `run.missing`.
        stages: The stages of the chain, in order.

    Raises:
        CorpusError: The source of the corpus is missing.
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
