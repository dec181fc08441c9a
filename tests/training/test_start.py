"""Test trainings that start from another model's weights."""

from pathlib import Path

import pytest

from rnnlm import checkpoint
from rnnlm.config import Experiment
from rnnlm.dataset import Tokens, tokenize
from rnnlm.errors import CheckpointError
from rnnlm.storage import file_digest
from rnnlm.training.api import train
from tests.conftest import ingest_text, lines, tiny_experiment


def tokens_of(folder: Path, text: str, experiment: Experiment) -> Tokens:
    folder.mkdir()
    (folder / "text.txt").write_text(text)
    corpus = ingest_text(folder / "text.txt", folder / "corpus")
    return tokenize(corpus.uri, corpus.digest, experiment.tokenizer, folder / "tokens")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return tiny_experiment(training={"budget": "4 epochs"})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> tuple[Tokens, Path]:
    folder = tmp_path_factory.mktemp("first")
    tokens = tokens_of(folder / "text", lines(200), experiment)
    return tokens, Path(train(tokens.uri, experiment, folder / "model").checkpoint)


def test_the_result_is_no_worse_than_the_start(
    first: tuple[Tokens, Path], experiment: Experiment, tmp_path: Path
):
    tokens, start = first
    more = train(tokens.uri, experiment, tmp_path / "more", start=start)
    nothing = train(tokens.uri, experiment, tmp_path / "nothing")
    bits = checkpoint.load(start).facts["bits_per_character"]
    assert more.validation_bits_per_character <= bits
    assert more.validation_bits_per_character < nothing.validation_bits_per_character
    assert more.started_from == file_digest(start)
    assert nothing.started_from is None


def test_a_training_without_improvement_keeps_the_starting_weights(
    first: tuple[Tokens, Path], tmp_path: Path
):
    tokens, start = first
    idle = tiny_experiment(training={"optimizer": "sgd", "learning_rate": 1e-12})
    kept = train(tokens.uri, idle, tmp_path / "idle", start=start)
    assert kept.best_step == 0
    before, after = (
        checkpoint.load(path).model.state_dict() for path in (start, Path(kept.checkpoint))
    )
    assert all(before[name].equal(after[name]) for name in before)


def test_an_interrupted_training_from_a_start_ends_with_the_same_bits(
    first: tuple[Tokens, Path], experiment: Experiment, tmp_path: Path
):
    tokens, start = first
    whole = train(tokens.uri, experiment, tmp_path / "whole", start=start)

    class Stop(Exception):
        pass

    for at in (1, 30):

        def interrupt(progress, at=at):
            if progress.step >= at:
                raise Stop

        with pytest.raises(Stop):
            train(tokens.uri, experiment, tmp_path / "parts", interrupt, start)
    parts = train(tokens.uri, experiment, tmp_path / "parts", start=start)
    assert parts.best_step == whole.best_step
    one, other = (checkpoint.load(Path(model.checkpoint)).model for model in (whole, parts))
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_start_from_another_network_is_refused(
    first: tuple[Tokens, Path], experiment: Experiment, tmp_path: Path
):
    tokens, start = first
    wider = tiny_experiment(model={"hidden_size": 24})
    with pytest.raises(CheckpointError, match="fit another model"):
        train(tokens.uri, wider, tmp_path / "two", start=start)
    assert not (tmp_path / "two" / "history.jsonl").exists()


def test_a_start_with_another_vocabulary_shares_common_tokens(
    first: tuple[Tokens, Path], experiment: Experiment, tmp_path: Path
):
    _, start = first
    other = tokens_of(tmp_path / "other", lines(200) + "ø\n" * 5, experiment)
    mapped = train(other.uri, experiment, tmp_path / "mapped", start=start)
    nothing = train(other.uri, experiment, tmp_path / "nothing")
    assert mapped.validation_bits_per_character < nothing.validation_bits_per_character
