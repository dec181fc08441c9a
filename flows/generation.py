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
    """Return the name of a flow run: the model and, if it was given, the number of texts."""
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
    """Generate a data set, or finish an interrupted one; see `rnnlm.generation.job`.

    Args:
        model: A name (meaning its champion), name@alias or name/version.
        changes: Generation settings that differ from the model's own.
        prefixes: Path of a file whose lines the texts continue; optional.
        out: Folder for this data set only; by default, one named after version and settings.
        command: Command line of the request, for the card.
        anew_each_day: Whether to use today's date as the seed, so that each nightly run writes
            different texts.
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
