"""The stage `evaluate`: it scores a model on the test split and measures texts drawn from it.

The texts are sampled at several temperatures and compared with real text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.count import Count
from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage, Run
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from rnnlm.evaluation import results
from rnnlm.evaluation.results import TestScores, by_repeats
from rnnlm.generation.manifest import Source
from rnnlm.generation.references import reference_for
from rnnlm.progress import OnProgress


class Evaluate(RecordedStage[TestScores]):
    """Score a checkpoint and the n-gram models on the test split."""

    name = "evaluate"
    version = 6
    result_type = TestScores
    folder = "scores"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digests of the model, of the n-gram model, of the tokens and of the base.

        The base matters because test documents that it was trained on are excluded.
        """
        return {
            "checkpoint": run[Train].digest,
            "baseline": run[Count].digest,
            "tokens": run[Tokenize].digest,
            "base": run.base.digest if run.base else None,
        }

    def work(self, run: Run, out: Path, tell: OnProgress) -> TestScores:
        """Score both models on the test split; measure sampled texts and any canaries."""
        from rnnlm import checkpoint  # noqa: PLC0415 - these import torch
        from rnnlm.audit.temperatures import as_figures, measure_temperatures  # noqa: PLC0415
        from rnnlm.evaluation.exposure import score_canaries  # noqa: PLC0415
        from rnnlm.evaluation.held_out import score_test_split  # noqa: PLC0415

        base, corpus = run.base, run[Ingest]
        path, baseline = Path(run[Train].checkpoint), Path(run[Count].checkpoint)
        known = base.windows if base else None
        scores = score_test_split(path, baseline, run[Tokenize].uri, out, tell, known)
        loaded = checkpoint.load(path)
        canaries = score_canaries(loaded, tell)
        figures = scores.figures | results.as_figures(by_repeats(canaries))
        scores = scores.model_copy(update={"figures": figures, "canaries": canaries})
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
        """Return a line with both models' scores and the number of excluded test documents."""
        figures, base = result.figures, run.base
        said = (
            f"test {figures['bits_per_character']:.3f} bits/character, "
            f"n-grams {figures['ngram_bits_per_character']:.3f}"
        )
        if base and (overlap := figures["overlap_documents"]):
            said += f", excluding {overlap:,} documents that base {base.name} has seen"
        return said
