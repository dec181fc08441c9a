"""Each step as a Prefect task: one library function, its cache, its place in MLflow."""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock
from prefect import task
from prefect.context import FlowRunContext
from prefect.states import Completed
from pydantic import BaseModel

from flows import (
    bases,
    execution,
    gating,
    home,
    notifying,
    registry,
    reporting,
    retrying,
    steps,
    tracking,
)
from flows.gating import Candidate, Ruling
from flows.generation import run_job
from flows.registry import Version
from flows.starting import Start, weights_of
from flows.steps import Step
from rnnlm import checkpoint
from rnnlm.config import Experiment, ModelConfig, TokenizerConfig
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.ingestion import ingest as ingest_corpus
from rnnlm.dataset import Tokens
from rnnlm.dataset import tokenize as tokenize_corpus
from rnnlm.evaluation import CHARACTERS, TestScores, score_test_split
from rnnlm.generation.audit.temperatures import as_figures, measure_temperatures
from rnnlm.generation.data_set import About, Source, TextDataSet
from rnnlm.generation.references import reference_for
from rnnlm.progress import OnProgress, Progress
from rnnlm.report import write_report
from rnnlm.review import REVIEW_FILE, Review, write_review
from rnnlm.training.api import TrainedModel
from rnnlm.training.api import train as train_model

P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)


def as_task(function: Callable[P, tuple[R, bool, str]]) -> Callable[P, R]:
    """Make a Prefect task of a function that returns (result, cached, summary).

    The run's state is named Cached or Completed and says the summary; the caller gets the result.
    Prefect keeps no result of its own: the record in the step's folder is the one truth. Outside of
    a flow run it is the function alone.
    """
    name = function.__name__

    def reported(*args: P.args, **kwargs: P.kwargs) -> tuple[R, bool, str]:
        reporter = reporting.current() or reporting.Reporter()
        reporter.started(name)
        began = time.monotonic()
        result, cached, summary = function(*args, **kwargs)
        reporter.finished(name, reporting.Outcome(time.monotonic() - began, cached, summary))
        return result, cached, summary

    @task(name=name, persist_result=False)
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        result, cached, summary = reported(*args, **kwargs)
        label = "Cached" if cached else "Completed"
        return Completed(name=label, message=summary, data=result)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if FlowRunContext.get() is None:
            return reported(*args, **kwargs)[0]
        state: Any = run.with_options(**retrying.options())(*args, **kwargs)
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
    base = bases.find(home.current(), experiment)
    step = steps.tokenize(home.current(), experiment, corpus, base.digest if base else None)

    def work(out: Path, tell: OnProgress) -> Tokens:
        config, told = experiment.tokenizer, experiment.corpus.condition
        given = base.tokenizer if base and config.kind == "base" else None
        with execution.executor(sum(corpus.bytes.values())) as executor:
            tokens = tokenize_corpus(
                corpus.uri, corpus.digest, config, out, tell, executor, told, given
            )
        write_report(experiment.name, corpus, tokens, out)
        return tokens

    tokens, cached = _perform(step, work)
    total = sum(tokens.tokens.values())
    return tokens, cached, f"{total:,} tokens, vocabulary {tokens.vocab_size:,}"


@as_task
def count(experiment: Experiment, corpus: Corpus, tokens: Tokens) -> tuple[TrainedModel, bool, str]:
    """Tokens → n-gram models of them and of characters, which the trained one is compared with."""
    step = steps.count(home.current(), experiment, tokens)
    counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})

    def work(out: Path, tell: OnProgress) -> TrainedModel:
        own = train_model(tokens.uri, counted, out, tell)
        if experiment.tokenizer.kind == "character":
            return own
        folder, told = out / CHARACTERS, experiment.corpus.condition
        spelled = TokenizerConfig(kind="character")
        with execution.executor(sum(corpus.bytes.values())) as executor:
            tokenize_corpus(corpus.uri, corpus.digest, spelled, folder, tell, executor, told)
        bits = train_model(str(folder), counted, folder, tell).validation_bits_per_character
        return own.model_copy(update={"validation_bits_per_character": bits})

    baseline, cached = _perform(step, work)
    bits = baseline.validation_bits_per_character
    summary = f"{baseline.parameters:,} n-grams, validation {bits:.3f} bits/character"
    return baseline, cached, summary


@as_task
def train(
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    start: Start,
    tags: Mapping[str, str],
) -> tuple[TrainedModel, bool, str]:
    """Tokens → checkpoint, with the curves going to MLflow as they grow."""
    model, cached = perform_training(experiment, corpus, tokens, start, tags)
    what = start.why if start.is_told else f"{model.parameters:,} parameters"
    bits = model.validation_bits_per_character
    return model, cached, f"{what}, {model.step:,} steps, validation {bits:.3f} bits/character"


@as_task
def evaluate(
    experiment: Experiment,
    corpus: Corpus,
    model: TrainedModel,
    baseline: TrainedModel,
    tokens: Tokens,
) -> tuple[TestScores, bool, str]:
    """Checkpoint and test split → scores, and what the model writes at three temperatures."""
    base = bases.find(home.current(), experiment)
    digest, known = (base.digest, base.windows) if base else (None, None)
    step = steps.evaluate(home.current(), experiment, model, baseline, tokens, digest)
    paths = Path(model.checkpoint), Path(baseline.checkpoint)

    def work(out: Path, tell: OnProgress) -> TestScores:
        scores = score_test_split(*paths, tokens.uri, out, tell, known)
        loaded = checkpoint.load(paths[0])
        source = Source(
            uri=corpus.uri,
            digest=corpus.digest,
            baseline=paths[1],
            base=base.path if base else None,
        )
        reference = reference_for(source, experiment.corpus.form, loaded)
        if reference is None:
            return scores
        rows = measure_temperatures(loaded, reference, experiment.generation)
        return scores.model_copy(update={"figures": scores.figures | as_figures(rows)})

    scores, cached = _perform(step, work)
    figures = scores.figures
    summary = (
        f"test {figures['bits_per_character']:.3f} bits/character, "
        f"n-grams {figures['ngram_bits_per_character']:.3f}"
    )
    if base and (overlap := figures["overlap_documents"]):
        summary += f", without {overlap:,} documents that base {base.name} has read"
    return scores, cached, summary


@as_task
def register(
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    model: TrainedModel,
    baseline: TrainedModel,
    scores: TestScores,
) -> tuple[Version, bool, str]:
    """Checkpoint and scores → a version in the registry, without an alias yet.

    A version whose files are gone from the store is registered anew.
    """
    here = home.current()
    here.mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(here.mlruns / ".register.lock"):  # two runs may have made the same checkpoint
        known = registry.find(here, experiment.name, model.digest)
        if known and registry.is_whole(here, known):
            return known, True, f"{known.name}/{known.version}"
        run_id = tracking.ensure_run(here, experiment, corpus, tokens, model)
        tracking.log_scores(here, run_id, scores)
        base = bases.find(here, experiment)
        made = Version(
            name=experiment.name,
            version=0,
            run_id=run_id,
            test_bits_per_character=scores.figures["bits_per_character"],
            checkpoint=model.digest,
            corpus_digest=corpus.digest,
            corpus_uri=corpus.uri,
            source_digest=steps.source_digest(corpus),
            recipe=steps.recipe(experiment, tokens, base.digest if base else None),
            started_from=model.started_from or "",
            baseline=baseline.checkpoint,
            condition=experiment.corpus.condition,
        )
        version = registry.register(here, experiment, model, made)
    return version, False, f"{version.name}/{version.version}"


@as_task
def sample(
    experiment: Experiment,
    corpus: Corpus,
    model: TrainedModel,
    baseline: TrainedModel,
    version: Version,
) -> tuple[TextDataSet, bool, str]:
    """Version → data set of texts, shown in its MLflow run."""
    here = home.current()
    step = steps.sample(here, experiment, model, baseline, corpus)
    source = Source(
        uri=corpus.uri,
        digest=corpus.digest,
        baseline=Path(baseline.checkpoint),
        base=bases.path_if_there(here, experiment),
    )
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


@as_task
def gate(candidate: Candidate) -> tuple[Version, bool, str]:
    """A version with its scores and texts → its place: champion or challenger."""
    here, version = home.current(), candidate.version
    if registry.is_placed(here, version):
        return version, True, version.described
    named = f"{version.name}/{version.version}"
    while True:
        ruling = gating.rule(here, candidate, _teller("gate"))
        place = registry.CHAMPION if ruling.verdict.wins else registry.CHALLENGER
        tracking.log_verdict(here, named, version.run_id, place, ruling.verdict)
        placed = registry.place(
            here,
            version,
            ruling.champion.version if ruling.champion else None,
            wins=ruling.verdict.wins,
            reason=ruling.verdict.reason,
            description=gating.describe(candidate, ruling),
        )
        if placed is not None:
            break
    _announce(candidate, placed, ruling)
    return placed, False, placed.described


@as_task
def review(
    experiment: Experiment,
    model: TrainedModel,
    baseline: TrainedModel,
    tokens: Tokens,
    scores: TestScores,
    version: Version,
) -> tuple[Review, bool, str]:
    """A version that has its place → a page about it, shown in its MLflow run."""
    verdict = version.verdict
    step = steps.review(home.current(), experiment, model, baseline, tokens, verdict)

    def work(out: Path, _tell: OnProgress) -> Review:
        paths = Path(model.checkpoint), Path(baseline.checkpoint)
        title = f"{version.name} {version.version} · {experiment.model.title}"
        return write_review(model.uri, *paths, scores, tokens.uri, title, out, verdict)

    page, cached = _perform(step, work)
    tracking.log_review(home.current(), version.run_id, page)
    return page, cached, f"{REVIEW_FILE} with {len(page.pictures)} pictures, in MLflow too"


def _announce(candidate: Candidate, placed: Version, ruling: Ruling) -> None:
    """Tell who wants to know of a new champion, or of one that fresh text has left behind."""
    config, name = candidate.experiment.retraining, placed.name
    if placed.alias == registry.CHAMPION:
        title = f"{name}: version {placed.version} is the new champion"
        notifying.tell(config, "champion", title, placed.reason)
    champion, fresh = ruling.champion, ruling.weighed.fresh_bits
    if champion is not None and fresh is not None and fresh > config.worse_bits:
        title = f"{name}: champion {champion.version} has got worse on fresh text"
        body = f"{fresh:.3f} bits per character worse than on its own test documents"
        notifying.tell(config, "worse", title, body)


def _describe(data_set: TextDataSet) -> str:
    parts = [f"{data_set.count:,} texts"]
    if data_set.form != "text":
        parts.append(f"{data_set.valid_share:.1%} valid")
    if data_set.copied_share is not None:
        parts.append(f"{data_set.copied_share:.1%} copied from training")
    return ", ".join(parts)


def perform_training(
    experiment: Experiment,
    corpus: Corpus,
    tokens: Tokens,
    start: Start,
    tags: Mapping[str, str],
) -> tuple[TrainedModel, bool]:
    """Train, or recall what was trained; return the model and whether it was recalled."""
    here = home.current()
    step = steps.train(here, experiment, tokens, start.digest)
    said = {**tags, "rnnlm.start": start.why}

    def work(out: Path, tell: OnProgress) -> TrainedModel:
        weights = weights_of(here, experiment, start.digest) if start.digest else None
        with tracking.live_run(here, experiment, corpus, tokens, step.key, out, said) as run:

            def tell_both(progress: Progress) -> None:
                run.log_row(progress.metrics)
                run.log_sample(progress.step, progress.sample)
                tell(progress)

            model = train_model(tokens.uri, experiment, out, tell_both, weights)
            run.finish(model)
            return model

    return _perform(step, work)


def _perform(step: Step[R], work: Callable[[Path, OnProgress], R]) -> tuple[R, bool]:
    """Perform a step with a bar on the run's page; see `steps.perform`."""
    tell_reporter = _teller(step.name)
    artifact = reporting.ProgressArtifact(step.name)

    def tell(progress: Progress) -> None:
        artifact.update(progress)
        tell_reporter(progress)

    result, cached = steps.perform(step, work, tell)
    artifact.close()
    return result, cached


def _teller(step: str) -> OnProgress:
    """Return what tells the current reporter of a step's progress."""
    reporter = reporting.current() or reporting.Reporter()
    return lambda progress: reporter.progressed(step, progress)
