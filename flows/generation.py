"""The flow that turns a registered model into a data set."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Completed

from flows import execution, home, reporting, tracking
from flows.generating import Wanted, prepare
from flows.ours import OURS
from rnnlm.config import GenerationConfig
from rnnlm.generation import job
from rnnlm.generation.data_set import About, Source, TextDataSet
from rnnlm.progress import OnProgress, Progress


@task(name="generate", persist_result=False)
def _generate(wanted: Wanted) -> Any:
    reporter = reporting.current() or reporting.LogReporter()
    artifact = reporting.ProgressArtifact("generate")

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        reporter.progressed("generate", progress)

    reporter.started("generate")
    data_set = run_job(
        wanted.checkpoint,
        wanted.config,
        wanted.out,
        wanted.form,
        wanted.source,
        wanted.prefixes,
        wanted.about,
        tell,
    )
    artifact.close()
    return Completed(message=f"{data_set.count:,} texts in {data_set.uri}", data=data_set)


def run_name() -> str:
    """Return what a flow run is called: the model, and how many texts if that was said."""
    model, changes = flow_run.parameters["model"], flow_run.parameters["changes"]
    return f"{model} · {changes['count']:,} texts" if "count" in changes else str(model)


@flow(name="generate", flow_run_name=run_name, **OURS)
def generate(
    model: str,
    changes: dict[str, Any],
    prefixes: str | None = None,
    out: str | None = None,
    command: Sequence[str] = (),
    anew_each_day: bool = False,
) -> TextDataSet:
    """Generate a data set, or finish the one begun in its folder; see `rnnlm.generation.job`.

    Args:
        model: name (its champion), name@alias or name/version.
        changes: Settings of generation that differ from the model's own.
        prefixes: Path of a file whose lines the texts continue; optional.
        out: Folder of this data set alone; by default one named after version and settings.
        command: The command line that asks for it, for the card.
        anew_each_day: Take the date for a seed, so that a nightly run writes other texts.
    """
    here = home.current()
    if anew_each_day:
        changes = {**changes, "seed": int(f"{datetime.now():%Y%m%d}")}
    folder = Path(out) if out else None
    wanted = prepare(here, model, changes, Path(prefixes) if prefixes else None, folder, command)
    state: Any = _generate(wanted)
    data_set: TextDataSet = state.data.result
    of = wanted.version
    tracking.log_generation(here, of.name, of.version, of.run_id, data_set, wanted.config)
    return data_set


def run_job(
    checkpoint: Path,
    config: GenerationConfig,
    out: Path,
    form: str,
    source: Source | None,
    prefixes: Path | None,
    about: About,
    on_progress: OnProgress,
) -> TextDataSet:
    """Run a job with as many workers as are configured, or as its size asks for."""
    size = 2 * config.count * config.max_length
    with execution.executor(size) as executor:
        if executor is not None:  # workers may stand in other folders
            checkpoint, out = checkpoint.resolve(), out.resolve()
            prefixes = prefixes.resolve() if prefixes else None
            source = _resolved(source) if source else None
        return job.generate(
            checkpoint,
            config,
            out,
            form,
            source=source,
            prefixes=prefixes,
            about=about,
            on_progress=on_progress,
            executor=executor,
        )


def _resolved(source: Source) -> Source:
    paths = {
        name: path.resolve() if path else None
        for name, path in (("baseline", source.baseline), ("base", source.base))
    }
    return source.model_copy(update={"uri": str(Path(source.uri).resolve()), **paths})
