"""The flow that turns a registered model into a data set."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.states import Completed

from flows import execution, home, reporting, tracking
from flows.registry import Version
from rnnlm.config import GenerationConfig
from rnnlm.generation import job
from rnnlm.generation.data_set import About, Source, TextDataSet
from rnnlm.progress import OnProgress, Progress


@task(name="generate", persist_result=False)
def _generate(
    checkpoint: str,
    config: GenerationConfig,
    out: str,
    form: str,
    source: Source | None,
    prefixes: str | None,
    about: About,
) -> Any:
    reporter = reporting.current() or reporting.LogReporter()
    artifact = reporting.ProgressArtifact("generate")

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        reporter.progressed("generate", progress)

    reporter.started("generate")
    data_set = run_job(Path(checkpoint), config, Path(out), form, source, prefixes, about, tell)
    artifact.close()
    return Completed(message=f"{data_set.count:,} texts in {data_set.uri}", data=data_set)


@flow(name="generate", flow_run_name="generate {config.count} texts", persist_result=False)
def generate(
    checkpoint: str,
    config: GenerationConfig,
    out: str,
    form: str,
    source: Source | None,
    about: About,
    version: Version | None = None,
    prefixes: str | None = None,
) -> TextDataSet:
    """Generate a data set into `out`, or finish the one begun there; see `rnnlm.generation.job`.

    Args:
        checkpoint: Path of the model.
        config: How many texts, how sampled.
        out: Folder of this job alone.
        form: What a text should be.
        source: The training corpus, to compare with; optional.
        about: What the card says of the model.
        version: The registered version whose experiment the run is logged to; optional.
        prefixes: Path of a file whose lines the texts continue; optional.
    """
    state: Any = _generate(checkpoint, config, out, form, source, prefixes, about)
    data_set: TextDataSet = state.data.result
    if version is not None:
        tracking.log_generation(
            home.current(), version.name, version.version, version.run_id, data_set, config
        )
    return data_set


def run_job(
    checkpoint: Path,
    config: GenerationConfig,
    out: Path,
    form: str,
    source: Source | None,
    prefixes: str | None,
    about: About,
    on_progress: OnProgress,
) -> TextDataSet:
    """Run a job with as many workers as are configured, or as its size asks for."""
    size = 2 * config.count * config.max_length
    with execution.executor(size) as executor:
        if executor is not None:  # workers may stand in other folders
            checkpoint, out = checkpoint.resolve(), out.resolve()
            prefixes = str(Path(prefixes).resolve()) if prefixes else None
            source = _resolved(source) if source else None
        return job.generate(
            checkpoint,
            config,
            out,
            form,
            source=source,
            prefixes=Path(prefixes) if prefixes else None,
            about=about,
            on_progress=on_progress,
            executor=executor,
        )


def _resolved(source: Source) -> Source:
    baseline = source.baseline.resolve() if source.baseline else None
    return source.model_copy(update={"uri": str(Path(source.uri).resolve()), "baseline": baseline})
