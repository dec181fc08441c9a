"""Each step as a Prefect task: one library function, its cache, its place in MLflow."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock
from prefect import task
from prefect.states import Completed
from pydantic import BaseModel

from flows import execution, home, registry, reporting, steps, tracking
from flows.generation import run_job
from flows.steps import Step
from rnnlm.config import Experiment, ModelConfig
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.ingestion import ingest as ingest_corpus
from rnnlm.dataset import Tokens
from rnnlm.dataset import tokenize as tokenize_corpus
from rnnlm.evaluation import TestScores, score_test_split
from rnnlm.generation.data_set import About, Source, TextDataSet
from rnnlm.progress import OnProgress, Progress
from rnnlm.report import write_report
from rnnlm.training.api import TrainedModel
from rnnlm.training.api import train as train_model

P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)


def as_task(function: Callable[P, tuple[R, bool, str]]) -> Callable[P, R]:
    """Make a Prefect task of a function that returns (result, cached, summary).

    The run's state is named Cached or Completed and says the summary; the caller gets the result.
    Prefect keeps no result of its own: the record in the step's folder is the one truth.
    """
    name = function.__name__

    @task(name=name, persist_result=False)
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        reporter = reporting.current() or reporting.Reporter()
        reporter.started(name)
        began = time.monotonic()
        result, cached, summary = function(*args, **kwargs)
        reporter.finished(name, reporting.Outcome(time.monotonic() - began, cached, summary))
        label = "Cached" if cached else "Completed"
        return Completed(name=label, message=summary, data=result)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        state: Any = run(*args, **kwargs)
        result: R = state.data.result
        return result

    return call


@as_task
def ingest(experiment: Experiment) -> tuple[Corpus, bool, str]:
    """Source → documents in splits."""
    here, config = home.current(), experiment.corpus
    files = locate(config, here.sources, _teller("ingest"))
    step = steps.ingest(here, experiment, files)

    def work(out: Path, tell: OnProgress) -> Corpus:
        with execution.executor(sum(file.size for file in files)) as executor:
            return ingest_corpus(files, config, experiment.splits, out, tell, executor)

    corpus, cached = _perform(step, work)
    documents, characters = sum(corpus.documents.values()), sum(corpus.characters.values())
    dropped = sum(corpus.dropped.values())
    summary = f"{documents:,} documents, {characters:,} characters"
    return corpus, cached, f"{summary}, {dropped:,} dropped" if dropped else summary


@as_task
def tokenize(experiment: Experiment, corpus: Corpus) -> tuple[Tokens, bool, str]:
    """Documents → Parquet tokens, and a report of the corpus."""
    step = steps.tokenize(home.current(), experiment, corpus)

    def work(out: Path, tell: OnProgress) -> Tokens:
        config = experiment.tokenizer
        with execution.executor(sum(corpus.bytes.values())) as executor:
            told = experiment.corpus.condition
            tokens = tokenize_corpus(corpus.uri, corpus.digest, config, out, tell, executor, told)
        write_report(experiment.name, corpus, tokens, out)
        return tokens

    tokens, cached = _perform(step, work)
    total = sum(tokens.tokens.values())
    return tokens, cached, f"{total:,} tokens, vocabulary {tokens.vocab_size:,}"


@as_task
def count(experiment: Experiment, tokens: Tokens) -> tuple[TrainedModel, bool, str]:
    """Tokens → n-gram model, which the trained one is compared with."""
    step = steps.count(home.current(), experiment, tokens)
    counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})
    baseline, cached = _perform(step, lambda out, tell: train_model(tokens.uri, counted, out, tell))
    bits = baseline.validation_bits_per_character
    summary = f"{baseline.parameters:,} n-grams, validation {bits:.3f} bits/character"
    return baseline, cached, summary


@as_task
def train(experiment: Experiment, corpus: Corpus, tokens: Tokens) -> tuple[TrainedModel, bool, str]:
    """Tokens → checkpoint, with the curves going to MLflow as they grow."""
    here = home.current()
    step = steps.train(here, experiment, tokens)

    def work(out: Path, tell: OnProgress) -> TrainedModel:
        with tracking.live_run(here, experiment, corpus, tokens, step.key, out) as run:

            def tell_both(progress: Progress) -> None:
                run.log_row(progress.metrics)
                run.log_sample(progress.step, progress.sample)
                tell(progress)

            model = train_model(tokens.uri, experiment, out, tell_both)
            run.finish(model)
            return model

    model, cached = _perform(step, work)
    summary = (
        f"{model.parameters:,} parameters, {model.step:,} steps, "
        f"validation {model.validation_bits_per_character:.3f} bits/character"
    )
    return model, cached, summary


@as_task
def evaluate(
    experiment: Experiment, model: TrainedModel, baseline: TrainedModel, tokens: Tokens
) -> tuple[TestScores, bool, str]:
    """Checkpoint and test split → scores."""
    step = steps.evaluate(home.current(), experiment, model, baseline, tokens)
    paths = Path(model.checkpoint), Path(baseline.checkpoint)
    scores, cached = _perform(
        step, lambda out, tell: score_test_split(*paths, tokens.uri, out, tell)
    )
    figures = scores.figures
    summary = (
        f"test {figures['bits_per_character']:.3f} bits/character, "
        f"n-grams {figures['ngram_bits_per_character']:.3f}"
    )
    return scores, cached, summary


@as_task
def register(
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    model: TrainedModel,
    baseline: TrainedModel,
    scores: TestScores,
) -> tuple[registry.Version, bool, str]:
    """Checkpoint and scores → a version in the registry, champion if it is the best."""
    here = home.current()
    known = registry.find(here, experiment.name, model.digest)
    if known:
        return known, True, known.described
    run_id = tracking.ensure_run(here, experiment, corpus, tokens, model)
    tracking.log_scores(here, run_id, scores)
    version = registry.register(here, experiment, corpus, model, baseline, scores, run_id)
    return version, False, version.described


@as_task
def sample(
    experiment: Experiment,
    corpus: Corpus,
    model: TrainedModel,
    baseline: TrainedModel,
    version: registry.Version,
) -> tuple[TextDataSet, bool, str]:
    """Version → data set of texts, shown in its MLflow run."""
    here = home.current()
    step = steps.sample(here, experiment, model, baseline, corpus)
    source = Source(uri=corpus.uri, digest=corpus.digest, baseline=Path(baseline.checkpoint))
    config = experiment.generation
    about = About(
        name=version.name,
        version=str(version.version),
        command=f"rnnlm generate {version.name}/{version.version} --count {config.count}",
    )

    def work(out: Path, tell: OnProgress) -> TextDataSet:
        form, checkpoint = experiment.corpus.form, Path(model.checkpoint)
        return run_job(checkpoint, config, out, form, source, None, about, tell)

    data_set, cached = _perform(step, work)
    tracking.log_texts(here, version.run_id, experiment, Path(model.checkpoint), data_set)
    return data_set, cached, _describe(data_set)


def _describe(data_set: TextDataSet) -> str:
    parts = [f"{data_set.count:,} texts"]
    if data_set.form != "text":
        parts.append(f"{data_set.valid_share:.1%} valid")
    if data_set.copied_share is not None:
        parts.append(f"{data_set.copied_share:.1%} copied from training")
    return ", ".join(parts)


def _perform(step: Step[R], work: Callable[[Path, OnProgress], R]) -> tuple[R, bool]:
    """Return the step's recorded result and True, or do the work, record it, and False."""
    step.siblings.mkdir(parents=True, exist_ok=True)
    with FileLock(step.siblings / f".{step.key}.lock"):  # another run of the same may be at it
        return _recall_or_perform(step, work)


def _recall_or_perform(step: Step[R], work: Callable[[Path, OnProgress], R]) -> tuple[R, bool]:
    recalled = step.recall()
    if recalled is not None:
        return recalled, True
    step.forget_if_forced()
    tell_reporter = _teller(step.name)
    artifact = reporting.ProgressArtifact(step.name)

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        tell_reporter(progress)

    began = time.monotonic()
    result = work(step.folder, tell)
    step.remember(result, time.monotonic() - began)
    artifact.close()
    return result, False


def _teller(step: str) -> OnProgress:
    """Return what tells the current reporter of a step's progress."""
    reporter = reporting.current() or reporting.Reporter()
    return lambda progress: reporter.progressed(step, progress)
