"""Rebuild the corpus and the n-gram model of a registered version if they are damaged.

`rnnlm generate` and `rnnlm evaluate` read both without running the stages that made them.
"""

from pathlib import Path
from typing import Any

from flows.chain import records
from flows.chain.count import Count
from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage, Run
from flows.chain.tokenize import Tokenize
from flows.registry import Version
from flows.runtime import reporting
from flows.runtime.home import Home
from rnnlm.config import Experiment
from rnnlm.errors import CorpusError, RnnlmError


def mend_inputs(home: Home, version: Version, experiment: Experiment) -> None:
    """Compare a version's corpus and n-gram model with their digests; rebuild damaged ones.

    Folders that are missing are not rebuilt; the caller does without them.

    Args:
        home: Home that holds the folders.
        version: The version.
        experiment: Configuration that the version was trained with.

    Raises:
        CorpusError: One of them is damaged, and its source is missing or has changed since.
    """
    ways: list[tuple[str, list[type[RecordedStage[Any]]]]] = [
        (version.corpus_uri, [Ingest]),
        (version.baseline and str(Path(version.baseline).parent), [Ingest, Tokenize, Count]),
    ]
    for uri, stages in ways:
        folder = Path(uri)
        fault = records.fault_of(folder) if uri and folder.is_dir() else None
        if fault is not None:
            _make_again(Run(home, experiment), folder, fault, stages)


def _make_again(run: Run, folder: Path, fault: str, stages: list[type[RecordedStage[Any]]]) -> None:
    """Rebuild a damaged folder by running the stages that lead to it, without Prefect.

    Args:
        run: A new run with the version's configuration.
        folder: The damaged folder.
        fault: What is wrong with it, in a few words.
        stages: The stages to run, in order.

    Raises:
        CorpusError: The last stage would write to another folder, or a stage fails.
    """
    why = "its source has changed since"
    try:
        for kind in stages:
            stage = kind()
            step = stage.step(run)
            if kind is stages[-1] and step.folder.resolve() != folder.resolve():
                break
            with records.attempt(step) as attempt:
                if not attempt.is_recalled:
                    tell = reporting.teller(stage.name)
                    attempt.result = stage.work(run, attempt.folder, tell)
            run.results[stage.name] = attempt.result
        else:
            return
    except RnnlmError as error:
        why = str(error)
    raise CorpusError(
        f"{folder}: {fault}, and it cannot be rebuilt ({why}); restore it from a copy, or remove "
        "the folder to do without it"
    )
