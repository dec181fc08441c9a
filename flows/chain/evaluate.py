"""The stage `evaluate`: test-split scores, and figures of samples at three temperatures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.count import Count
from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage, Run
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from rnnlm import checkpoint
from rnnlm.audit.temperatures import as_figures, measure_temperatures
from rnnlm.evaluation import TestScores, score_test_split
from rnnlm.generation.manifest import Source
from rnnlm.generation.references import reference_for
from rnnlm.progress import OnProgress


class Evaluate(RecordedStage[TestScores]):
    """Checkpoint, n-grams and test split → scores."""

    name = "evaluate"
    version = 6
    result_type = TestScores
    folder = "scores"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digests of both models and of the tokens, and of the base to exclude."""
        return {
            "checkpoint": run[Train].digest,
            "baseline": run[Count].digest,
            "tokens": run[Tokenize].digest,
            "base": run.base.digest if run.base else None,
        }

    def work(self, run: Run, out: Path, tell: OnProgress) -> TestScores:
        """Score the test split, and measure samples at several temperatures."""
        base, corpus = run.base, run[Ingest]
        path, baseline = Path(run[Train].checkpoint), Path(run[Count].checkpoint)
        known = base.windows if base else None
        scores = score_test_split(path, baseline, run[Tokenize].uri, out, tell, known)
        loaded = checkpoint.load(path)
        source = Source(
            uri=corpus.uri,
            digest=corpus.digest,
            baseline=baseline,
            base=base.path if base else None,
        )
        reference = reference_for(source, run.experiment.corpus.form, loaded)
        if reference is None:
            return scores
        rows = measure_temperatures(loaded, reference, run.experiment.generation)
        return scores.model_copy(update={"figures": scores.figures | as_figures(rows)})

    def describe(self, run: Run, result: TestScores) -> str:
        """Return the scores of both models, and how many documents the model's base has seen."""
        figures, base = result.figures, run.base
        said = (
            f"test {figures['bits_per_character']:.3f} bits/character, "
            f"n-grams {figures['ngram_bits_per_character']:.3f}"
        )
        if base and (overlap := figures["overlap_documents"]):
            said += f", excluding {overlap:,} documents that base {base.name} has seen"
        return said
