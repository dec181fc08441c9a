"""The stage `sample`: it generates texts with the new version and logs them to its MLflow run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import tracking
from flows.chain.count import Count
from flows.chain.ingest import Ingest
from flows.chain.register import Register
from flows.chain.stage import RecordedStage, Run
from flows.chain.train import Train
from flows.registry import bases
from flows.runtime import workers
from rnnlm.generation import job
from rnnlm.generation.manifest import About, Source, TextDataSet
from rnnlm.progress import OnProgress


class Sample(RecordedStage[TextDataSet]):
    """Generate a data set of texts with a checkpoint."""

    name = "sample"
    version = 5
    result_type = TextDataSet
    folder = "generated"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digests of both models and of the corpus, the form, and the settings.

        The two models are the trained network and the n-gram model; the settings are those of
        generation.
        """
        return {
            "checkpoint": run[Train].digest,
            "baseline": run[Count].digest,
            "corpus": run[Ingest].digest,
            "form": run.experiment.corpus.form,
            "generation": run.experiment.generation.model_dump(),
        }

    def make(self, run: Run) -> tuple[TextDataSet, bool]:
        """Generate the texts, or reuse the recorded ones; log them to MLflow in either case."""
        data_set, is_recalled = super().make(run)
        path, version = Path(run[Train].checkpoint), run[Register]
        tracking.log_texts(run.home, version.run_id, run.experiment, path, data_set)
        return data_set, is_recalled

    def work(self, run: Run, out: Path, tell: OnProgress) -> TextDataSet:
        """Generate the texts, and audit them against the training corpus."""
        corpus, version, config = run[Ingest], run[Register], run.experiment.generation
        source = Source(
            uri=corpus.uri,
            digest=corpus.digest,
            baseline=Path(run[Count].checkpoint),
            base=bases.path_if_there(run.home, run.experiment),
        )
        about = About(
            name=version.name,
            version=str(version.version),
            command=f"rnnlm generate {version.name}/{version.version} --count {config.count}",
            canaries=version.canaries,
        )
        with workers.generating(config) as executor:
            return job.generate(
                Path(run[Train].checkpoint),
                config,
                out,
                run.experiment.corpus.form,
                source=source,
                about=about,
                on_progress=tell,
                executor=executor,
                packed=run.home.packed,
            )

    def describe(self, run: Run, result: TextDataSet) -> str:  # noqa: ARG002 - the texts say it
        """Return a line with the number of texts and the shares of valid and of copied texts.

        A text is valid if it has the corpus's form, and copied if the training split contains it.
        """
        parts = [f"{result.count:,} texts"]
        if result.form != "text":
            parts.append(f"{result.valid_share:.1%} valid")
        if result.copied_share is not None:
            parts.append(f"{result.copied_share:.1%} copied from training")
        return ", ".join(parts)
