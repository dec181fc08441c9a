"""What a run would do, without running anything: which steps are cached, which are not, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from flows import bases, registry, steps
from flows.home import Home
from flows.registry import Version
from flows.starting import choose_start
from flows.steps import Step
from rnnlm.config import Experiment
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.fetching import is_here
from rnnlm.corpora.files import locate

R = TypeVar("R", bound=BaseModel)
STEPS = (
    "ingest",
    "tokenize",
    "count",
    "train",
    "evaluate",
    "register",
    "sample",
    "gate",
    "review",
)


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do with a step: take it from the cache or run it, and why."""

    name: str
    cached: bool
    reason: str


def plan(home: Home, experiment: Experiment) -> list[PlannedStep]:
    """Say what a run would do, without running anything.

    Args:
        home: Where the records are.
        experiment: What would run.

    Raises:
        CorpusError: The source is missing.
    """
    names = STEPS
    done: list[PlannedStep] = []
    for planned in _walk(home, experiment):
        done.append(planned)
        if not planned.cached and planned.name in names[:4]:
            rest = names[len(done) :]
            return done + [PlannedStep(n, False, f"follows {planned.name}") for n in rest]
    return done


def is_done(home: Home, experiment: Experiment) -> bool:
    """Return whether a run would find every step cached."""
    planned = [*_walk(home, experiment)]
    return len(planned) == len(STEPS) and all(step.cached for step in planned)


def _walk(home: Home, experiment: Experiment) -> Iterator[PlannedStep]:
    entry = catalog().get(experiment.corpus.source)
    if entry and not is_here(entry, home.sources):
        reason = f"its files are not here yet ({entry.bytes / 1e6:.1f} MB to fetch)"
        yield PlannedStep("ingest", False, reason)
        return
    first = steps.ingest(home, experiment, locate(experiment.corpus, home.sources))
    corpus = first.recall()
    yield _planned(first, corpus)
    if corpus is None:
        return
    base = bases.find(home, experiment)
    second = steps.tokenize(home, experiment, corpus, base.digest if base else None)
    tokens = second.recall()
    yield _planned(second, tokens)
    if tokens is None:
        return
    third = steps.count(home, experiment, tokens)
    baseline = third.recall()
    yield _planned(third, baseline)
    if baseline is None:
        return
    start = choose_start(home, experiment, corpus, tokens)
    fourth = steps.train(home, experiment, tokens, start.digest)
    model = fourth.recall()
    yield _planned(fourth, model)
    if model is None:
        return
    fifth = steps.evaluate(home, experiment, model, baseline, tokens, base.digest if base else None)
    yield _planned(fifth, fifth.recall())
    version = registry.find(home, experiment.name, model.digest)
    yield _registered(home, version)
    sixth = steps.sample(home, experiment, model, baseline, corpus)
    yield _planned(sixth, sixth.recall())
    if version is not None and registry.is_placed(home, version):
        yield PlannedStep("gate", True, f"has decided: {version.reason}")
        last = steps.review(home, experiment, model, baseline, tokens, version.verdict)
        yield _planned(last, last.recall())
    else:
        yield PlannedStep("gate", False, "has not decided")
        yield PlannedStep("review", False, "follows gate")


def _registered(home: Home, version: Version | None) -> PlannedStep:
    if version is None:
        return PlannedStep("register", False, "no version holds this checkpoint")
    named = f"{version.name}/{version.version}"
    if registry.is_whole(home, version):
        return PlannedStep("register", True, f"held by {named}")
    return PlannedStep("register", False, f"the files of {named} are gone")


def _planned(step: Step[R], result: R | None) -> PlannedStep:
    if result is None:
        return PlannedStep(step.name, False, step.why())
    return PlannedStep(step.name, True, f"key {step.key}, files verified")
