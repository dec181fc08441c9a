"""The Prefect flow that generates a data set of texts with a registered model."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Completed

from flows import tracking
from flows.chain.request import Wanted, prepare
from flows.runtime import home, model_locks, reporting, workers
from flows.runtime.flow_defaults import OURS, named_time
from rnnlm.generation import job
from rnnlm.generation.manifest import TextDataSet


@task(name="generate", persist_result=False)
def _generate(wanted: Wanted, parts_only: bool) -> Any:
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
            parts_only=parts_only,
            store=wanted.store,
            packed=wanted.packed,
        )
    return Completed(message=f"{data_set.count:,} texts in {data_set.uri}", data=data_set)


def run_name() -> str:
    """Return the name of a flow run: the model, the number of texts if given, and the time."""
    model, changes = flow_run.parameters["model"], flow_run.parameters["changes"]
    parts = [str(model), *([f"{changes['count']:,} texts"] if changes.get("count") else [])]
    return " · ".join([*parts, named_time()])


@flow(name="generate", flow_run_name=run_name, **OURS)
def generate(
    model: str,
    changes: dict[str, Any],
    prefixes: str | None = None,
    out: str | None = None,
    command: Sequence[str] = (),
    anew_each_day: bool = False,
    parts_only: bool = False,
) -> TextDataSet:
    """Generate a data set of texts, or finish one that was interrupted.

    `rnnlm.generation.job` describes the files of the data set.

    Args:
        model: Reference to a model: `name` (which means its champion), `name@alias` or
            `name/version`.
        changes: Generation settings that replace the model's own, by name.
        prefixes: Path of a text file; each of its lines is the beginning of a text, which the model
            continues. Optional.
        out: Folder, or address of an object store, to write the data set to, used for nothing
            else; by default, a folder named after the version and the settings.
        command: Words of the command line that requested the data set, to be shown on its card
            (`README.md`).
        anew_each_day: Whether to use today's date as the seed, so that each nightly run writes
            different texts.
        parts_only: Whether to draw nothing, because parts of the job have drawn all texts; see
            `rnnlm.generation.parts`.
    """
    here = home.current()
    if anew_each_day:
        changes = {**changes, "seed": int(f"{datetime.now():%Y%m%d}")}
    wanted = prepare(here, model, changes, Path(prefixes) if prefixes else None, out, command)
    of = wanted.version
    with model_locks.working_on(here, of.name):
        state: Any = _generate(wanted, parts_only)
        data_set: TextDataSet = state.data.result
        tracking.log_generation(
            here, of.name, of.version, of.run_id, data_set, wanted.config, wanted.out
        )
    if wanted.store:
        shutil.rmtree(wanted.out, ignore_errors=True)  # it has been uploaded
    return data_set
