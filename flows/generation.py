"""The flow that turns a registered model into a data set."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.states import Completed

from flows import reporting
from rnnlm.config import GenerationConfig
from rnnlm.generation.job import TextDataSet
from rnnlm.generation.job import generate as generate_texts
from rnnlm.progress import Progress


@task(name="generate", persist_result=False)
def _generate(
    checkpoint: str, config: GenerationConfig, out: str, form: str, corpus_uri: str | None
) -> Any:
    reporter = reporting.current() or reporting.LogReporter()
    artifact = reporting.ProgressArtifact("generate")

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        reporter.progressed("generate", progress)

    reporter.started("generate")
    data_set = generate_texts(Path(checkpoint), config, Path(out), form, corpus_uri, tell)
    artifact.close()
    return Completed(message=f"{data_set.count:,} texts in {data_set.uri}", data=data_set)


@flow(name="generate", flow_run_name="generate {config.count} texts", persist_result=False)
def generate(
    checkpoint: str, config: GenerationConfig, out: str, form: str, corpus_uri: str | None = None
) -> TextDataSet:
    """Generate a data set into `out`, or finish the one begun there; see `rnnlm.generation.job`.

    Args:
        checkpoint: Path of the model.
        config: How many texts, how sampled.
        out: Folder of this job alone.
        form: What a text should be.
        corpus_uri: Folder of the training corpus's documents, to count copies; optional.
    """
    state: Any = _generate(checkpoint, config, out, form, corpus_uri)
    data_set: TextDataSet = state.data.result
    return data_set
