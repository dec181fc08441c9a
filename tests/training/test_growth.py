import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnlm import checkpoint, dataset
from rnnlm.models import ARCHITECTURES
from rnnlm.progress import Progress
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer
from rnnlm.tokenizer import learn as learn_tokenizer
from rnnlm.training import growth
from rnnlm.training.api import train
from rnnlm.training.growth import (
    GROWTH_FILE,
    TEMPERATURES,
    TEXTS,
    Growth,
    growth_prefixes,
    read_growth,
)
from rnnlm.training.run import TrainingRun
from rnnlm.training.trained import BEST_FILE, LAST_FILE
from tests.conftest import tiny_experiment
from tests.training.conftest import weights

STEPS = 30
"""Number of steps in two epochs of the tiny corpus, with batches of eight."""


class Stop(Exception):
    """Raised by a test's `on_progress` to interrupt a training."""


def test_texts_are_written_early_and_at_the_end(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"budget": "4 epochs", "patience": 1000})
    model = train(tokens_uri, experiment, tmp_path)
    texts = read_growth(model.uri)
    shares = sorted({text.share for text in texts})
    assert [round(share, 1) for share in shares] == [0.0, 0.1, 0.2, 1.0]
    assert texts[-1].step == model.step
    moment = [text for text in texts if text.step == model.step]
    assert {text.temperature for text in moment} == {*TEMPERATURES}
    prefixes = {text.prefix for text in moment}
    assert "" in prefixes
    assert len(prefixes) == 2
    assert len(moment) == TEXTS * 2 * len(TEMPERATURES)
    assert all(text.text.startswith(text.prefix) for text in texts)


@pytest.mark.parametrize(
    ("architecture", "stops"),
    [("lstm", [1]), ("lstm", [2, 6, STEPS]), ("mingru", [6, 7])],
)
def test_a_resumed_run_writes_the_same_texts(
    architecture: str, stops: list[int], tokens_uri: str, tmp_path: Path
):
    experiment = tiny_experiment(
        model={"architecture": architecture, "dropout": 0.3},
        training={"averaging": "exponential", "budget": "2 epochs"},
    )
    train(tokens_uri, experiment, tmp_path / "whole")
    for stop in stops:

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise Stop

        with pytest.raises(Stop):
            train(tokens_uri, experiment, tmp_path / "parts", interrupt)
    train(tokens_uri, experiment, tmp_path / "parts")
    whole, parts = (tmp_path / name / GROWTH_FILE for name in ("whole", "parts"))
    assert parts.read_bytes() == whole.read_bytes()


def test_texts_after_the_last_save_are_written_again(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment()
    train(tokens_uri, experiment, tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.step == 4:
            raise Stop

    with pytest.raises(Stop):
        train(tokens_uri, experiment, tmp_path / "killed", interrupt)
    path = tmp_path / "killed" / GROWTH_FILE
    later = json.loads(path.read_text().splitlines()[0]) | {"step": 9, "share": 0.2}
    path.write_text(path.read_text() + json.dumps(later) + "\n" + '{"share": 0.3, "st')
    train(tokens_uri, experiment, tmp_path / "killed")
    assert path.read_bytes() == (tmp_path / "whole" / GROWTH_FILE).read_bytes()


def test_writing_leaves_the_trained_weights_alone(
    tokens_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for model in ({"dropout": 0.3}, {"architecture": "mogrifier", "weight_dropout": 0.2}):
        experiment = tiny_experiment(
            model=model, training={"averaging": "exponential", "budget": "1 epochs"}
        )
        name = model.get("architecture", "lstm")
        with_texts = train(tokens_uri, experiment, tmp_path / f"{name}-with")
        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "_grow", lambda *_, **__: None)
            without = train(tokens_uri, experiment, tmp_path / f"{name}-without")
        assert not read_growth(without.uri)
        for file in (BEST_FILE, LAST_FILE):
            mine, theirs = weights(Path(with_texts.uri, file)), weights(Path(without.uri, file))
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(value, theirs[key]) for key, value in mine.items())


def test_a_run_that_stops_early_still_writes_at_the_end(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(
        training={"budget": "500 epochs", "patience": 2, "validations": 1000, "learning_rate": 0.1}
    )
    model = train(tokens_uri, experiment, tmp_path)
    last = read_growth(model.uri)[-1]
    assert last.step == model.step
    assert last.share < 0.9


def test_a_finished_run_writes_nothing_more(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    before = (tmp_path / GROWTH_FILE).read_bytes()
    train(tokens_uri, tiny_experiment(), tmp_path)
    assert (tmp_path / GROWTH_FILE).read_bytes() == before


def test_the_same_weights_write_the_same_texts(tokens_uri: str, tmp_path: Path):
    model = checkpoint.load(Path(train(tokens_uri, tiny_experiment(), tmp_path).checkpoint))
    again = []
    for name in ("one", "two"):
        torch.manual_seed(len(again))
        (tmp_path / name).mkdir()
        writer = Growth(tmp_path / name, model.tokenizer, ["", "re"])
        writer.write(model.model.train(), 0.5, 10, 5000)
        assert model.model.training
        again.append((tmp_path / name / GROWTH_FILE).read_bytes())
    assert again[0] == again[1]


def test_nan_weights_write_nothing(tokens_uri: str, tmp_path: Path):
    tokenizer = dataset.load_tokenizer(tokens_uri)
    model = ARCHITECTURES["lstm"](tiny_experiment().model, tokenizer.vocab_size)
    next(model.parameters()).data[0] = float("nan")
    Growth(tmp_path, tokenizer, [""]).write(model, 0.5, 10, 5000)
    assert not read_growth(str(tmp_path))


def test_the_allowed_cost_bounds_the_length_of_texts(tokens_uri: str, tmp_path: Path):
    tokenizer = dataset.load_tokenizer(tokens_uri)
    model = ARCHITECTURES["lstm"](tiny_experiment().model, tokenizer.vocab_size)
    writer = Growth(tmp_path, tokenizer, ["", "re"])
    how = growth._engine(model)
    lengths = [writer._length(how, model, trained) for trained in (1e3, 1e6, 1e7, 1e9)]
    assert lengths == sorted(lengths)
    assert lengths[0] == growth.FEWEST_TOKENS
    assert lengths[-1] == growth.MOST_TOKENS


TELL: dict[str, tuple[Any, str, tuple[str, ...], str]] = {
    "words": (CharacterTokenizer("".join(map(chr, range(32, 127)))), "warm grey rose 12 7 9", (),
              "warm"),
    "one word": (ByteTokenizer(), "abcdefghijkl", (), "abcd"),
    "told": (ByteTokenizer(), "behr\tWarm Sand 179 154 124", ("brand",), "behr\tWarm"),
    "told, empty": (ByteTokenizer(), "\tAsh 1 2 3", ("brand",), "\tAsh"),
    "told, cut": (ByteTokenizer(), "behr and no tab", ("brand",), "behr and no tab"),
    "unknown": (CharacterTokenizer("abc "), "abc abzabc", (), "ab"),
    "unknown at once": (CharacterTokenizer("abc "), "zabc", (), ""),
    "torn": (ByteTokenizer(), "ééé", (), "é"),
}  # fmt: skip


@pytest.mark.parametrize("case", TELL)
def test_a_prefix_is_the_header_and_the_first_words(case: str):
    tokenizer, text, condition, expected = TELL[case]
    arrays = dataset.from_texts(tokenizer, [text, "another"])
    found = growth_prefixes(tokenizer, arrays, condition)
    assert found == [*dict.fromkeys((expected, ""))]


def test_a_prefix_of_a_long_document_is_short():
    text = "it was the best of times it was the worst of times " * 4000
    for kind in ("word", "bpe", "byte"):
        config = tiny_experiment(tokenizer={"kind": kind, "vocab_size": 300}).tokenizer
        tokenizer = learn_tokenizer(config, [text])
        prefix = growth_prefixes(tokenizer, dataset.from_texts(tokenizer, [text]), ())[0]
        assert text.startswith(prefix)
        assert 0 < len(prefix) <= growth.PREFIX_CHARACTERS
        assert np.array_equal(tokenizer.encode(prefix), tokenizer.encode(text)[: len(prefix)][
            : len(tokenizer.encode(prefix))
        ])  # fmt: skip


def test_a_run_without_texts_has_none(tmp_path: Path):
    assert read_growth(str(tmp_path)) == []
