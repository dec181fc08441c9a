"""Test the scores of a test split, and which of its documents are scored."""

import random
from pathlib import Path
from typing import Any

import pytest

from rnnlm import dataset
from rnnlm.conditioning import iter_with_headers
from rnnlm.config import ModelConfig, TokenizerConfig
from rnnlm.errors import DatasetError, EmptySplitError
from rnnlm.evaluation import held_out
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.held_out import score_corpus, score_test_split
from rnnlm.evaluation.results import CHARACTERS, NATS_FILE, NGRAM_NATS_FILE
from rnnlm.overlap import sample
from rnnlm.training.api import train
from tests.conftest import ingest_text, tiny_experiment

WORDS = [f"{a}{b}{c}" for a in "bdgk" for b in "aeio" for c in "lmnr"]


def page(seed: int) -> str:
    """Return a line of 200 words."""
    return " ".join(random.Random(seed).choices(WORDS, k=200))


class Made:
    """A tiny model of word pieces, n-gram models of its corpus, and the test documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        experiment = tiny_experiment(tokenizer={"kind": "bpe", "vocab_size": 300})
        (folder / "text").write_text("\n".join(map(page, range(60))))
        self.corpus = ingest_text(folder / "text", folder / "corpus", documents="lines")
        tokens = dataset.tokenize(
            self.corpus.uri, self.corpus.digest, experiment.tokenizer, folder / "tokens"
        )
        self.tokens = tokens.uri
        self.model = Path(train(tokens.uri, experiment, folder / "model").checkpoint)
        counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})
        self.ngrams = Path(train(tokens.uri, counted, folder / "ngrams").checkpoint)
        beside = folder / "ngrams" / CHARACTERS
        dataset.tokenize(self.corpus.uri, self.corpus.digest, TokenizerConfig(), beside)
        train(str(beside), counted, beside)
        self.texts = [*iter_with_headers(self.corpus.uri, "test", ())]

    def score(self, out: Path, **settings: Any) -> held_out.TestScores:
        return score_test_split(self.model, self.ngrams, self.tokens, out, **settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_a_page_that_the_base_has_read_is_left_out(made: Made, tmp_path: Path):
    whole = made.score(tmp_path / "whole")
    planted = made.texts[1]
    clean = made.score(tmp_path / "clean", known=sample([planted, page(1000)]))
    assert len(made.texts) > 3
    assert (whole.figures["overlap_documents"], clean.figures["overlap_documents"]) == (0, 1)
    assert clean.figures["characters"] == whole.figures["characters"] - len(planted)
    for name in (NATS_FILE, NGRAM_NATS_FILE):
        all_nats, kept = (
            TextNats.load(Path(scores.uri) / name).documents for scores in (whole, clean)
        )
        assert kept.tolist() == pytest.approx([*all_nats[:1], *all_nats[2:]], rel=1e-4)


def test_another_model_is_scored_on_the_same_documents(made: Made, tmp_path: Path):
    known = sample([made.texts[0]])
    own = made.score(tmp_path / "own", known=known)
    other = score_corpus(made.model, made.corpus.uri, tmp_path / "other", known=known)
    nats = [TextNats.load(Path(scores.uri) / NATS_FILE) for scores in (own, other)]
    assert nats[0].characters.tolist() == nats[1].characters.tolist()


def test_a_test_split_that_the_base_has_read_is_refused(made: Made, tmp_path: Path):
    with pytest.raises(EmptySplitError, match=r"all \d+ test documents .* training.base = 'none'"):
        made.score(tmp_path, known=sample(made.texts))


def test_the_ngram_baseline_uses_characters_whatever_the_tokenizer(made: Made, tmp_path: Path):
    figures = made.score(tmp_path).figures
    assert figures["ngram_bits_per_character"] != figures["own_ngram_bits_per_character"]
    own, ngrams = (TextNats.load(tmp_path / name) for name in (NATS_FILE, NGRAM_NATS_FILE))
    assert own.characters.tolist() == ngrams.characters.tolist()
    assert ngrams.bits_per_character == pytest.approx(figures["ngram_bits_per_character"])


def test_documents_spread_over_a_long_test_split_are_scored(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = dataset.load_split(made.tokens, "test")
    monkeypatch.setattr(held_out, "MOST_SCORED", int(whole.characters.sum()) // 2)
    own = made.score(tmp_path / "own")
    other = score_corpus(made.model, made.corpus.uri, tmp_path / "other")
    nats = [TextNats.load(Path(scores.uri) / NATS_FILE) for scores in (own, other)]
    assert nats[0].characters.tolist() == nats[1].characters.tolist()
    scored = held_out.scored_documents(own, whole)
    assert scored.characters.tolist() == nats[0].characters.tolist()
    assert 0 < len(scored.lengths) < len(whole.lengths)
    with pytest.raises(DatasetError, match="score the checkpoint on this split"):
        held_out.scored_documents(own, scored)
