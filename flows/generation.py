"""The flow that turns a registered model into a data set."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Completed

from flows import tracking
from flows.chain.request import Wanted, prepare
from flows.runtime import home, reporting, workers
from flows.runtime.flow_defaults import OURS
from rnnlm.generation import job
from rnnlm.generation.manifest import TextDataSet


@task(name="generate", persist_result=False)
def _generate(wanted: Wanted) -> Any:
    reporter = reporting.current() or reporting.LogReporter()
    with (
        reporting.watching(reporter),
        reporting.progress("generate") as tell,
        workers.generating(wanted.config) as executor,
    ):
        reporter.started("generate")
        data_set = job.generate(
            wanted.checkpoint,
            wanted.config,
            wanted.out,
            wanted.form,
            source=wanted.source,
            prefixes=wanted.prefixes,
            about=wanted.about,
            on_progress=tell,
            executor=executor,
        )
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
