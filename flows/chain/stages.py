"""All stages of the chain, in order."""

from typing import Any

from flows.chain.count import Count
from flows.chain.evaluate import Evaluate
from flows.chain.gate import Gate
from flows.chain.ingest import Ingest
from flows.chain.register import Register
from flows.chain.review import WriteReview
from flows.chain.sample import Sample
from flows.chain.stage import Stage
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
