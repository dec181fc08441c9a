"""The chain, stage by stage: from source files to a page about the model that was made of them.

A stage is one class in one file, listed here. `records` keeps results on disk by key, `stage` says
what a stage is, `task` makes it a Prefect task, `plan` says what a run would do, `warm_start`
chooses the weights that training begins with, `ruling` weighs a version against the champion.
"""

from typing import Any

from flows.chain.count import Count
from flows.chain.evaluate import Evaluate
from flows.chain.gate import Gate
from flows.chain.ingest import Ingest
from flows.chain.register import Register
from flows.chain.review import WriteReview
from flows.chain.sample import Sample
from flows.chain.stage import Run, Stage
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train

CHAIN: tuple[Stage[Any], ...] = (
    Ingest(),
    Tokenize(),
    Count(),
    Train(),
    Evaluate(),
    Register(),
    Sample(),
    Gate(),
    WriteReview(),
)
"""All stages, in order."""

__all__ = [
    "CHAIN",
    "Count",
    "Evaluate",
    "Gate",
    "Ingest",
    "Register",
    "Run",
    "Sample",
    "Stage",
    "Tokenize",
    "Train",
    "WriteReview",
]
