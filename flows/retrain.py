"""The chain: a corpus goes in, a registered model and a data set come out."""

from typing import Any

from prefect import flow

from flows import reporting, steps, tasks
from flows.registry import Version
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.evaluation import TestScores
from rnnlm.generation.data_set import TextDataSet
from rnnlm.report import CorpusReport, read_report


@flow(name="retrain", flow_run_name="{experiment.name}", persist_result=False)
def retrain(experiment: Experiment, force: bool = False) -> dict[str, Any]:
    """Ingest, tokenize, count, train, evaluate, register, sample; return the run in figures.

    Args:
        experiment: What to make.
        force: Run every step anew, whatever is cached.
    """
    reporter = reporting.current() or reporting.LogReporter()
    with reporting.watching(reporter), steps.forced(force):
        corpus = tasks.ingest(experiment)
        tokens = tasks.tokenize(experiment, corpus)
        baseline = tasks.count(experiment, tokens)
        model = tasks.train(experiment, corpus, tokens)
        scores = tasks.evaluate(experiment, model, baseline, tokens)
        version = tasks.register(experiment, corpus, tokens, model, baseline, scores)
        texts = tasks.sample(experiment, corpus, model, baseline, version)
    return summary(corpus, scores, version, texts, reporter)


@flow(name="inspect", flow_run_name="{experiment.name}", persist_result=False)
def inspect(experiment: Experiment) -> tuple[Corpus, Tokens, CorpusReport]:
    """Ingest and tokenize; return what came out, and a report of it."""
    reporter = reporting.current() or reporting.LogReporter()
    with reporting.watching(reporter):
        corpus = tasks.ingest(experiment)
        tokens = tasks.tokenize(experiment, corpus)
    return corpus, tokens, read_report(tokens.uri)


def summary(
    corpus: Corpus,
    scores: TestScores,
    version: Version,
    texts: TextDataSet,
    reporter: reporting.Reporter,
) -> dict[str, Any]:
    """Return the figures of a run as JSON-able values, units in the names."""
    outcomes = reporter.outcomes
    return {
        "model": version.name,
        "version": version.version,
        "alias": version.alias,
        "run_id": version.run_id,
        "reason": version.reason,
        "corpus": {
            "digest": corpus.digest,
            "documents": corpus.documents,
            "characters": corpus.characters,
            "encodings": corpus.encodings,
            "dropped": corpus.dropped,
            "cleaned": corpus.cleaned,
        },
        "test": scores.figures,
        "seconds": {step: round(outcome.seconds, 3) for step, outcome in outcomes.items()},
        "cached": {step: outcome.cached for step, outcome in outcomes.items()},
        "generated": {"path": texts.uri, **texts.model_dump(exclude={"uri"})},
    }
