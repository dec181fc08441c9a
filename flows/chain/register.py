"""The stage `register`: it adds a checkpoint to MLflow's model registry as a new version."""

from contextlib import suppress
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
from flows.cleanup.unfinished import remove_unfinished
from flows.registry import Version
from flows.runtime import backups, locks
from rnnlm.engine.loading import load_sampler
from rnnlm.errors import RegistryError
from rnnlm.evaluation.results import by_repeats


class Register(Stage[Version]):
    """Register a checkpoint with its scores as a version; the stage `gate` sets its alias later.

    Each checkpoint is registered exactly once, even if a process is killed midway. If a version
    already holds the checkpoint, but the file in MLflow's artifact store is damaged or missing, the
    file is replaced; if the whole package is missing there, the checkpoint is registered again.
    """

    name = "register"

    def recall(self, run: Run) -> Version | None:
        """Return the version that holds the checkpoint if it is intact in MLflow, else None."""
        version = self._holder(run)
        return version if version and registry.is_whole(run.home, version) else None

    def make(self, run: Run) -> tuple[Version, bool]:
        """Register the checkpoint as a version, unless another run has already done so."""
        home, experiment = run.home, run.experiment
        corpus, tokens, model, scores = run[Ingest], run[Tokenize], run[Train], run[Evaluate]
        home.mlruns.mkdir(parents=True, exist_ok=True)
        with FileLock(locks.registering(home)):
            known = self._holder(run)
            if known is not None:
                with suppress(RegistryError):  # its files are missing
                    registry.checkpoint_path(home, known)
                    return known, True
            backups.back_up(home)
            run_id = tracking.ensure_run(home, experiment, corpus, tokens, model)
            tracking.log_scores(home, run_id, scores)
            remove_unfinished(home, run_id, model.digest)
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
                canaries=by_repeats(scores.canaries),
            )
            load_sampler(Path(model.checkpoint), home.packed, model.digest)  # writes a packed form
            return registry.register(home, experiment, model.checkpoint, made), False

    def describe(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the version's name and number."""
        return f"{result.name}/{result.version}"

    def why(self, run: Run) -> str:
        """Return why to register: no version holds the checkpoint, or its files are not intact."""
        version = self._holder(run)
        if version is None:
            return "no version holds this checkpoint"
        return f"the files of {version.name}/{version.version} are missing or damaged"

    def where(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the version's name and number."""
        return f"held by {result.name}/{result.version}"

    def _holder(self, run: Run) -> Version | None:
        return registry.find(run.home, run.experiment.name, run[Train].digest)
