"""The stage `register`: it adds a checkpoint to MLflow's model registry as a new version."""

from pathlib import Path

from filelock import FileLock

from flows import registry, tracking
from flows.chain.count import Count
from flows.chain.evaluate import Evaluate
from flows.chain.ingest import Ingest, source_digest
from flows.chain.stage import Run, Stage
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from flows.chain.warm_start import recipe
from flows.registry import Version
from flows.runtime import locks
from rnnlm.engine.loading import load_sampler


class Register(Stage[Version]):
    """Register a checkpoint with its scores as a version; the stage `gate` sets its alias later.

    If a version holds the checkpoint already, but its files are missing from MLflow's artifact
    store, the checkpoint is registered again.
    """

    name = "register"

    def recall(self, run: Run) -> Version | None:
        """Return the version that holds the checkpoint if its files exist in MLflow, else None."""
        version = self._holder(run)
        return version if version and registry.is_whole(run.home, version) else None

    def make(self, run: Run) -> tuple[Version, bool]:
        """Register the checkpoint as a version, unless another run has already done so."""
        home, experiment = run.home, run.experiment
        corpus, tokens, model, scores = run[Ingest], run[Tokenize], run[Train], run[Evaluate]
        home.mlruns.mkdir(parents=True, exist_ok=True)
        with FileLock(locks.registering(home)):
            known = self.recall(run)
            if known is not None:
                return known, True
            run_id = tracking.ensure_run(home, experiment, corpus, tokens, model)
            tracking.log_scores(home, run_id, scores)
            made = Version(
                name=experiment.name,
                version=0,
                run_id=run_id,
                test_bits_per_character=scores.figures["bits_per_character"],
                checkpoint=model.digest,
                corpus_digest=corpus.digest,
                corpus_uri=corpus.uri,
                source_digest=source_digest(corpus),
                recipe=recipe(experiment, tokens, run.base.digest if run.base else None),
                started_from=model.started_from or "",
                baseline=run[Count].checkpoint,
                condition=experiment.corpus.condition,
            )
            registered = registry.register(home, experiment, model, made)
            load_sampler(Path(model.checkpoint), home.packed, model.digest)  # keeps its packed form
            return registered, False

    def describe(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the version's name and number."""
        return f"{result.name}/{result.version}"

    def why(self, run: Run) -> str:
        """Return why to register: no version holds the checkpoint, or its files are missing."""
        version = self._holder(run)
        if version is None:
            return "no version holds this checkpoint"
        return f"the files of {version.name}/{version.version} are missing"

    def where(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the version's name and number."""
        return f"held by {result.name}/{result.version}"

    def _holder(self, run: Run) -> Version | None:
        return registry.find(run.home, run.experiment.name, run[Train].digest)
