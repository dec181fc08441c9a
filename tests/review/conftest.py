"""Shared fixtures of the tests of reviews (report pages): small trained models, their scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rnnlm import dataset
from rnnlm.config import ModelConfig
from rnnlm.evaluation.held_out import score_test_split
from rnnlm.evaluation.results import TestScores
from rnnlm.review.page import write_review
from rnnlm.review.result import Review
from rnnlm.training.api import train
from rnnlm.training.trained import TrainedModel
from tests.conftest import ingest_text, lines, tiny_experiment

HTML = '<b>&amp; "red"</b>'


@dataclass(frozen=True)
class Made:
    """The inputs of a review.

    Attributes:
        model: The trained network.
        ngrams: The n-gram model that it is compared with.
        scores: Scores of both on the test split.
        tokens_uri: Folder of the token shards.
    """

    model: TrainedModel
    ngrams: TrainedModel
    scores: TestScores
    tokens_uri: str

    def review(self, out: Path, title: str = "tiny", verdict: str = "") -> Review:
        """Write the review into a folder."""
        return write_review(
            self.model.uri,
            Path(self.model.checkpoint),
            Path(self.ngrams.checkpoint),
            self.scores,
            self.tokens_uri,
            title,
            out,
            verdict,
        )


def make(folder: Path, text: str, documents: str = "lines", **sections: dict[str, Any]) -> Made:
    """Train a tiny model on a text, count the text's n-grams and score both."""
    experiment = tiny_experiment(**sections)
    folder.mkdir(exist_ok=True)
    (folder / "text").write_text(text)
    clean = {"repeated": "keep", "shortest": 1}
    corpus = ingest_text(folder / "text", folder / "corpus", documents=documents, clean=clean)
    tokens = dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, folder / "tokens")
    model = train(tokens.uri, experiment, folder / "model")
    counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})
    ngrams = train(tokens.uri, counted, folder / "ngrams")
    paths = Path(model.checkpoint), Path(ngrams.checkpoint)
    scores = score_test_split(*paths, tokens.uri, folder / "scores")
    return Made(model, ngrams, scores, tokens.uri)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model trained on lines, some of which contain HTML; treat it as read-only."""
    text = lines(200) + "".join(f"{HTML} {n} {n} {n}\n" for n in range(40))
    return make(tmp_path_factory.mktemp("made"), text)


@pytest.fixture(scope="session")
def reviewed(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Review:
    """The review of `made`, with HTML as title and verdict; treat it as read-only."""
    return made.review(tmp_path_factory.mktemp("reviewed"), HTML, HTML)
