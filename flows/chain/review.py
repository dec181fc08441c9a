"""The stage `review`: it writes an HTML page about a version, also shown in its MLflow run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import tracking
from flows.chain.count import Count
from flows.chain.evaluate import Evaluate
from flows.chain.gate import Gate
from flows.chain.stage import RecordedStage, Run
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from rnnlm.progress import OnProgress
from rnnlm.review.result import REVIEW_FILE, Review


class WriteReview(RecordedStage[Review]):
    """Write an HTML page from a version's checkpoint, its scores and the gate's verdict."""

    name = "review"
    version = 3
    result_type = Review
    folder = "reviews"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digests of both models and of the tokens, and the gate's verdict and level.

        The two models are the trained network and the n-gram model.
        """
        return {
            "checkpoint": run[Train].digest,
            "baseline": run[Count].digest,
            "tokens": run[Tokenize].digest,
            "verdict": run[Gate].verdict,
            "level": run.experiment.gate.level,
        }

    def make(self, run: Run) -> tuple[Review, bool]:
        """Write the page, or reuse the recorded one; log it to MLflow in either case."""
        page, is_recalled = super().make(run)
        tracking.log_review(run.home, run[Gate].run_id, page)
        return page, is_recalled

    def work(self, run: Run, out: Path, tell: OnProgress) -> Review:  # noqa: ARG002 - it is quick
        """Write the page."""
        from rnnlm.review.page import write_review  # noqa: PLC0415 - imports torch

        model, version = run[Train], run[Gate]
        paths = Path(model.checkpoint), Path(run[Count].checkpoint)
        title = f"{version.name} {version.version} · {run.experiment.model.title}"
        uri = run[Tokenize].uri
        return write_review(
            model.uri,
            *paths,
            run[Evaluate],
            uri,
            title,
            out,
            version.verdict,
            run.experiment.gate.level,
        )

    def describe(self, run: Run, result: Review) -> str:  # noqa: ARG002 - the page says it
        """Return a line with the file name of the page and its number of pictures."""
        return f"{REVIEW_FILE} with {len(result.pictures)} pictures, in MLflow too"
