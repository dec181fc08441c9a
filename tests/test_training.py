import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnlm import checkpoint, dataset
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError, DivergenceError
from rnnlm.evaluation import evaluate
from rnnlm.progress import Progress
from rnnlm.training import BEST_FILE, LAST_FILE, learning_rate, read_history, train
from tests.conftest import ingest_text, lines, tiny_experiment


@pytest.fixture(scope="module")
def tokens_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "text").write_text(lines(200))
    corpus = ingest_text(folder / "text", folder / "corpus")
    config = tiny_experiment().tokenizer
    return dataset.tokenize(corpus.uri, corpus.digest, config, folder / "tokens").uri


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_tensors(path)[0]


def assert_same_future(one: Path, two: Path) -> None:
    """All that decides what comes next is equal to the bit."""
    mine, theirs = weights(one), weights(two)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


def test_training_learns(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"budget": "20 epochs", "learning_rate": 0.01})
    model = train(tokens_uri, experiment, tmp_path)
    rows = read_history(str(tmp_path))
    assert rows[-1]["train/nll_nats_per_token"] < 0.6 * rows[0]["train/nll_nats_per_token"]
    assert model.best_step <= model.step
    loaded = checkpoint.load(Path(model.checkpoint))
    score = evaluate(loaded.model, dataset.load_split(tokens_uri, "validation")).score
    assert score.bits_per_character == pytest.approx(model.validation_bits_per_character)


def test_one_batch_can_be_learnt_by_heart(tmp_path: Path):
    rows = "".join(f"{letter}bcde fghi{letter}\n" for letter in "cdfiha")
    (tmp_path / "text").write_text(rows * 10)
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus", clean={"repeated": "keep"})
    experiment = tiny_experiment(
        training={"budget": "150 epochs", "learning_rate": 0.02, "patience": 1000}
    )
    uri = dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, tmp_path / "tokens").uri
    train(uri, experiment, tmp_path / "model")
    assert read_history(str(tmp_path / "model"))[-1]["train/nll_nats_per_token"] < 0.2


@pytest.mark.parametrize("feed", ["documents", "stream"])
def test_the_same_seed_gives_the_same_bits(feed: str, tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"feed": feed, "bptt": 7}, model={"dropout": 0.3})
    one = train(tokens_uri, experiment, tmp_path / "one")
    two = train(tokens_uri, experiment, tmp_path / "two")
    assert one.digest == two.digest
    other = tiny_experiment(training={"feed": feed, "bptt": 7, "seed": 2}, model={"dropout": 0.3})
    assert train(tokens_uri, other, tmp_path / "three").digest != one.digest


class Stop(Exception):
    """What the test raises from `on_progress`."""


@pytest.mark.parametrize("feed", ["documents", "stream"])
@pytest.mark.parametrize("stops", [[1], [5, 11], [14, 15, 29]])
def test_resuming_equals_never_having_stopped(
    feed: str, stops: list[int], tokens_uri: str, tmp_path: Path
):
    experiment = tiny_experiment(
        training={"feed": feed, "bptt": 7}, model={"dropout": 0.3, "num_layers": 2}
    )
    whole = train(tokens_uri, experiment, tmp_path / "whole")
    for stop in stops:

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise Stop

        with pytest.raises(Stop):
            train(tokens_uri, experiment, tmp_path / "parts", interrupt)
    parts = train(tokens_uri, experiment, tmp_path / "parts")
    assert parts.digest == whole.digest
    assert_same_future(tmp_path / "whole" / LAST_FILE, tmp_path / "parts" / LAST_FILE)
    timing = {"seconds", "train/tokens_per_second"}
    for mine, theirs in zip(
        read_history(str(tmp_path / "whole")), read_history(str(tmp_path / "parts")), strict=True
    ):
        assert {k: v for k, v in mine.items() if k not in timing} == {
            k: v for k, v in theirs.items() if k not in timing
        }


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bits(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"budget": "40 epochs"}, model={"dropout": 0.3})
    whole = train(tokens_uri, experiment, tmp_path / "whole")
    (tmp_path / "experiment.json").write_text(experiment.model_dump_json())
    script = """
import sys
from pathlib import Path
from rnnlm import training
from rnnlm.config import Experiment
training.SAVE_SECONDS = 0.05
experiment = Experiment.model_validate_json(Path(sys.argv[2]).read_text())
print("ready", flush=True)
training.train(sys.argv[1], experiment, Path(sys.argv[3]))
"""
    command = [sys.executable, "-c", script, tokens_uri, str(tmp_path / "experiment.json")]
    command.append(str(tmp_path / "parts"))
    for delay in (0.4, 0.7, 1.0):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert checkpoint.load_tensors(tmp_path / "parts" / LAST_FILE)[1]["step"] > 0
    one, two = weights(tmp_path / "whole" / BEST_FILE), weights(tmp_path / "parts" / BEST_FILE)
    for name, value in one.items():
        assert torch.equal(value, two[name])
    assert whole.step == checkpoint.load_tensors(tmp_path / "parts" / LAST_FILE)[1]["step"]


def test_a_finished_training_is_not_run_again(tokens_uri: str, tmp_path: Path):
    first = train(tokens_uri, tiny_experiment(), tmp_path)
    told: list[Progress] = []
    assert train(tokens_uri, tiny_experiment(), tmp_path, told.append) == first
    assert not told


def test_training_stops_early_when_validation_gets_no_better(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(
        training={"budget": "500 epochs", "patience": 2, "validations": 100, "learning_rate": 0.05}
    )
    model = train(tokens_uri, experiment, tmp_path)
    assert model.best_step < model.step
    assert read_history(str(tmp_path))[-1]["tokens"] < 500 * 0.6 * len(lines(200))


def test_divergence_names_the_step_and_the_remedy(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment()
    broken = experiment.model_copy(
        update={"training": experiment.training.model_copy(update={"learning_rate": 1e30})}
    )
    with pytest.raises(DivergenceError, match=r"at step \d+.*lower training.learning_rate"):
        train(tokens_uri, broken, tmp_path)


def test_a_position_of_another_model_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    with pytest.raises(CheckpointError, match="fit another model"):
        train(tokens_uri, tiny_experiment(model={"hidden_size": 17}), tmp_path)


def test_a_torn_position_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    last = tmp_path / LAST_FILE
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cut short"):
        train(tokens_uri, tiny_experiment(), tmp_path)


@pytest.mark.parametrize("budget", ["0.3 s", "500 tokens", "2 epochs"])
def test_every_kind_of_budget_ends_training(budget: str, tokens_uri: str, tmp_path: Path):
    told: list[Progress] = []
    train(tokens_uri, tiny_experiment(training={"budget": budget}), tmp_path, told.append)
    assert told[-1].done == pytest.approx(told[-1].total)
    assert "validation/nll_nats_per_token" in told[-1].metrics


def test_the_learning_rate_climbs_and_falls():
    config = tiny_experiment(training={"warmup": 0.1, "learning_rate": 1.0}).training
    rates = [learning_rate(config, share / 100) for share in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_history_is_json_lines_with_step_and_tokens(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        assert row["step"] > 0
        assert row["tokens"] > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_gpu_trains_and_resumes(tokens_uri: str, tmp_path: Path):
    base: Experiment = tiny_experiment(model={"dropout": 0.3})
    training = base.training.model_copy(update={"device": "cuda"})
    experiment = base.model_copy(update={"training": training})
    told: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        told.append(replace(progress))
        if progress.step == 5:
            raise Stop

    with pytest.raises(Stop):
        train(tokens_uri, experiment, tmp_path, interrupt)
    model = train(tokens_uri, experiment, tmp_path, told.append)
    assert told[-1].step == model.step
    assert Path(model.checkpoint).is_file()
