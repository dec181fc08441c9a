import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import random, randrange
from typing import Any

import pytest
import torch

from rnnlm import checkpoint, dataset
from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError, ConfigError, DivergenceError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import ARCHITECTURES
from rnnlm.progress import Progress
from rnnlm.training import meter, run
from rnnlm.training.api import train
from rnnlm.training.divergence import DivergedError
from rnnlm.training.history import read_history
from rnnlm.training.run_state import Position
from rnnlm.training.trained import BEST_FILE, LAST_FILE
from tests.conftest import ingest_text, lines, tiny_experiment
from tests.damage import flip
from tests.training.conftest import weights


def assert_same_future(one: Path, two: Path) -> None:
    """Assert that two files that training resumes from hold bitwise equal tensors.

    The tensors determine everything that happens in later steps.
    """
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


def test_one_batch_can_be_memorised(tmp_path: Path):
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
    """Raised by a test's `on_progress` to interrupt a training."""


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "documents": ({"feed": "documents"}, {}),
    "stream": ({"feed": "stream", "bptt": 7}, {}),
    "averaged": ({"averaging": "exponential"}, {"weight_dropout": 0.2}),
    "asgd": (
        {
            "optimizer": "sgd",
            "learning_rate": 1.0,
            "averaging": "triggered",
            "trigger": 1,
            "schedule": "plateau",
        },
        {"embedding_dropout": 0.1},
    ),
    "momentum": ({"optimizer": "sgd", "momentum": 0.9, "schedule": "constant"}, {}),
    "tied": ({"optimizer": "adam"}, {"tie_weights": True, "embedding_size": 16}),
    "gru": ({"feed": "stream", "bptt": 7}, {"architecture": "gru", "learned_start": True}),
    "simple": ({}, {"architecture": "simple"}),
    "mogrifier": ({}, {"architecture": "mogrifier"}),
    "muon": ({"optimizer": "muon"}, {}),
    "sampled": ({"sampled_vocabulary": 12}, {}),
    "mingru": ({"feed": "stream", "bptt": 7}, {"architecture": "mingru"}),
}
LOOPS_IN_PYTHON = ("mogrifier", "mingru")
STOPS = (1, 14, 15, 29)
"""Steps after which a run is interrupted; 15 steps are an epoch."""


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=pytest.mark.slow if way in LOOPS_IN_PYTHON else ()) for way in WAYS],
)
def test_resuming_equals_never_having_stopped(way: str, tokens_uri: str, tmp_path: Path):
    training, model = WAYS[way]
    experiment = tiny_experiment(
        training=training, model={"dropout": 0.3, "num_layers": 2, **model}
    )
    whole = train(tokens_uri, experiment, tmp_path / "whole")
    for stop in STOPS:

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise Stop

        with pytest.raises(Stop):
            train(tokens_uri, experiment, tmp_path / "parts", interrupt)
    reports: list[Progress] = []
    parts = train(tokens_uri, experiment, tmp_path / "parts", reports.append)
    assert reports[0].step == STOPS[-1] + 1
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
    experiment = tiny_experiment(training={"budget": "12 epochs"}, model={"dropout": 0.3})
    whole = train(tokens_uri, experiment, tmp_path / "whole")
    (tmp_path / "experiment.json").write_text(experiment.model_dump_json())
    script = """
import sys
from pathlib import Path
from rnnlm.config import Experiment
from rnnlm.training import api, run
run.SAVE_SECONDS = 0.05
experiment = Experiment.model_validate_json(Path(sys.argv[2]).read_text())
def tell(progress): print(progress.step, flush=True)
api.train(sys.argv[1], experiment, Path(sys.argv[3]), tell)
"""
    command = [sys.executable, "-c", script, tokens_uri, str(tmp_path / "experiment.json")]
    command.append(str(tmp_path / "parts"))
    # Use as many threads as `whole`: on some processors the last bit of products depends on it.
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    steps = [randrange(1, 60) for _ in range(3)]
    print("killed after", steps)  # noqa: T201 - a failure shows it
    for count in steps:
        with subprocess.Popen(command, env=threads, stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(count):
                process.stdout.readline()
            time.sleep(0.01 * random())
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, env=threads, check=True, stdout=subprocess.DEVNULL)
    assert checkpoint.load_tensors(tmp_path / "parts" / LAST_FILE)[1]["step"] > 0
    one, two = weights(tmp_path / "whole" / BEST_FILE), weights(tmp_path / "parts" / BEST_FILE)
    for name, value in one.items():
        assert torch.equal(value, two[name])
    assert whole.step == checkpoint.load_tensors(tmp_path / "parts" / LAST_FILE)[1]["step"]


def test_a_finished_training_is_not_run_again(tokens_uri: str, tmp_path: Path):
    first = train(tokens_uri, tiny_experiment(), tmp_path)
    reports: list[Progress] = []
    assert train(tokens_uri, tiny_experiment(), tmp_path, reports.append) == first
    assert not reports


def test_training_stops_early_when_validation_stops_improving(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(
        training={"budget": "500 epochs", "patience": 2, "validations": 100, "learning_rate": 0.05}
    )
    model = train(tokens_uri, experiment, tmp_path)
    assert model.best_step < model.step
    assert read_history(str(tmp_path))[-1]["tokens"] < 500 * 0.6 * len(lines(200))


def test_a_training_that_diverges_continues_at_a_lower_rate(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(
        training={"learning_rate": 100.0, "optimizer": "sgd", "recoveries": 20, "warmup": 0.0}
    )
    reports: list[Progress] = []
    model = train(tokens_uri, experiment, tmp_path / "one", reports.append)
    notes = [progress.note for progress in reports if "diverged at step" in progress.note]
    assert notes
    assert "continuing from step" in notes[0]
    rows = read_history(str(tmp_path / "one"))
    assert rows[-1]["train/recoveries"] == len(notes)
    assert rows[-1]["train/nll_nats_per_token"] < 10.0
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    assert train(tokens_uri, experiment, tmp_path / "two").digest == model.digest


def test_the_error_for_repeated_divergence_says_where_and_what_to_do(
    tokens_uri: str, tmp_path: Path
):
    experiment = tiny_experiment(training={"recoveries": 1})
    broken = experiment.model_copy(
        update={"training": experiment.training.model_copy(update={"learning_rate": 1e30})}
    )
    with pytest.raises(DivergenceError, match=r"at step \d+.*lower training.learning_rate"):
        train(tokens_uri, broken, tmp_path)


def test_a_position_of_another_model_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    with pytest.raises(
        CheckpointError, match=r"belongs to another run: model\.hidden_size 16 → 17"
    ):
        train(tokens_uri, tiny_experiment(model={"hidden_size": 17}), tmp_path)


def test_a_position_of_other_training_settings_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    with pytest.raises(CheckpointError, match=r"training\.optimizer adamw → sgd"):
        train(tokens_uri, tiny_experiment(training={"optimizer": "sgd"}), tmp_path)


def test_a_position_of_another_vocabulary_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path / "model")
    (tmp_path / "text").write_text(lines(200).replace("r", "z"))
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus")
    config = tiny_experiment().tokenizer
    other = dataset.tokenize(corpus.uri, corpus.digest, config, tmp_path / "tokens")
    with pytest.raises(CheckpointError, match="the vocabulary differs"):
        train(other.uri, tiny_experiment(), tmp_path / "model")


def test_a_checkpoint_without_a_position_is_refused(tokens_uri: str, tmp_path: Path):
    train(tokens_uri, tiny_experiment(), tmp_path)
    (tmp_path / LAST_FILE).write_bytes((tmp_path / BEST_FILE).read_bytes())
    with pytest.raises(CheckpointError, match="holds no saved training position"):
        train(tokens_uri, tiny_experiment(), tmp_path)


def test_a_best_checkpoint_newer_than_the_position_is_rewritten(tokens_uri: str, tmp_path: Path):
    experiment = tiny_experiment(training={"schedule": "plateau", "validations": 9})
    whole = train(tokens_uri, experiment, tmp_path / "whole")
    parts = tmp_path / "parts"
    positions: dict[int, bytes] = {}

    def keep(progress: Progress) -> None:
        if progress.metrics.get("validation/nll_nats_per_token"):
            positions[progress.step] = (parts / LAST_FILE).read_bytes()

    train(tokens_uri, experiment, parts, keep)
    for step, position in [*positions.items()][
        :-1
    ]:  # as if killed after saving the next best checkpoint
        (parts / LAST_FILE).write_bytes(position)
        reports: list[Progress] = []
        assert train(tokens_uri, experiment, parts, reports.append).digest == whole.digest
        assert reports[0].step == step + 1


def test_a_run_may_resume_on_another_device(tokens_uri: str, tmp_path: Path):
    def interrupt(progress: Progress) -> None:
        if progress.step == 20:
            raise Stop

    with pytest.raises(Stop):
        train(tokens_uri, tiny_experiment(), tmp_path, interrupt)
    reports: list[Progress] = []
    train(tokens_uri, tiny_experiment(training={"device": "auto"}), tmp_path, reports.append)
    assert reports[0].step == 21


@pytest.mark.parametrize("better_later", [True, False])
def test_the_best_checkpoint_survives_a_return_to_an_earlier_position(
    better_later: bool, tokens_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Make one step diverge, so that training returns to the first validation's position.

    Later positions are treated as bad.
    """
    diverged: list[int] = []
    watch_step = meter.watch_step

    def diverge_once(position: Position, step: int, *rest: float) -> None:
        if step == 35 and not diverged:
            diverged.append(step)
            raise DivergedError("35: as told")
        watch_step(position, step, *rest)

    monkeypatch.setattr(run, "is_good", lambda position, *_: position.validations <= 1)
    monkeypatch.setattr(meter, "watch_step", diverge_once)
    monkeypatch.setattr(run, "RECOVERY_FACTOR", 1.0 if better_later else 1e-9)
    experiment = tiny_experiment(training={"validations": 9, "patience": 100})
    model = train(tokens_uri, experiment, tmp_path)
    rows = read_history(str(tmp_path))
    assert diverged
    assert rows[-1]["train/recoveries"] == 1
    facts = checkpoint.load(Path(model.checkpoint)).facts
    assert model.best_step == facts["step"]
    assert model.validation_bits_per_character == facts["bits_per_character"]
    assert better_later == (model.best_step > 35)
    reports: list[Progress] = []
    assert train(tokens_uri, experiment, tmp_path, reports.append) == model
    assert not reports


def test_a_run_that_diverges_as_its_time_ends_still_leaves_a_checkpoint(
    tokens_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def diverge(position: Position, step: int, *rest: float) -> None:
        raise DivergedError(f"{step}: as told")

    monkeypatch.setattr(meter, "watch_step", diverge)
    monkeypatch.setitem(meter.LOOK_STEPS, "cpu", 16)  # as on a GPU
    experiment = tiny_experiment(training={"budget": "0.000001 s", "recoveries": 9})
    assert Path(train(tokens_uri, experiment, tmp_path).checkpoint).is_file()


@pytest.mark.parametrize("damage", [lambda content: content[:-10], flip])
def test_after_a_damaged_position_training_begins_again(
    tokens_uri: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
):
    before = train(tokens_uri, tiny_experiment(), tmp_path)
    last = tmp_path / LAST_FILE
    last.write_bytes(damage(last.read_bytes()))
    after = train(tokens_uri, tiny_experiment(), tmp_path)
    assert "training from the beginning" in caplog.text
    assert after.digest == before.digest


@pytest.mark.parametrize("budget", ["0.3 s", "500 tokens", "2 epochs"])
def test_every_kind_of_budget_ends_training(budget: str, tokens_uri: str, tmp_path: Path):
    reports: list[Progress] = []
    train(tokens_uri, tiny_experiment(training={"budget": budget}), tmp_path, reports.append)
    assert reports[-1].done == pytest.approx(reports[-1].total)
    assert "validation/nll_nats_per_token" in reports[-1].metrics


@pytest.mark.parametrize(
    ("kind", "unit"), [("character", "bits/character"), ("word", "perplexity")]
)
def test_the_note_shows_progress_in_a_unit_that_suits_the_tokens(
    kind: str, unit: str, tmp_path: Path
):
    (tmp_path / "text").write_text(lines(200))
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus")
    experiment = tiny_experiment(tokenizer={"kind": kind})
    uri = dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, tmp_path / "tokens").uri
    reports: list[Progress] = []
    train(uri, experiment, tmp_path / "model", reports.append)
    rows = read_history(str(tmp_path / "model"))
    for progress, start in (
        (reports[0], r"\d+\.\d+"),
        (reports[-1], r"(\d+\.\d+), validation (\d+\.\d+)"),
    ):
        found = re.match(rf"{start} {unit}  [\d,]+ tokens/s$", progress.note)
        assert found, progress.note
    if kind == "word":
        best = min(row["validation/perplexity"] for row in rows if "validation/perplexity" in row)
        assert float(found[2]) == pytest.approx(best, abs=0.06)
        assert float(found[1]) == pytest.approx(
            math.exp(rows[-1]["train/nll_nats_per_token"]), abs=0.06
        )


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
    reports: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        reports.append(replace(progress))
        if progress.step == 5:
            raise Stop

    with pytest.raises(Stop):
        train(tokens_uri, experiment, tmp_path, interrupt)
    model = train(tokens_uri, experiment, tmp_path, reports.append)
    assert reports[-1].step == model.step
    assert Path(model.checkpoint).is_file()


def test_a_batch_larger_than_the_corpus_is_refused(tokens_uri: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"training\.batch_size = 60,000 is more than the \d,\d+"):
        train(tokens_uri, tiny_experiment(training={"batch_size": 60_000}), tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("feed", ["documents", "stream"])
def test_documents_of_one_token_can_be_learnt(architecture: str, feed: str, tmp_path: Path):
    (tmp_path / "text").write_text("a\nb\nc\nd\ne\nf\ng\nh\n" * 9)
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus", clean={"repeated": "keep"})
    experiment = tiny_experiment(
        training={"feed": feed, "bptt": 1, "temporal_penalty": 1.0, "budget": "2 epochs"},
        model={"architecture": architecture},
    )
    uri = dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, tmp_path / "tokens").uri
    model = train(uri, experiment, tmp_path / "model")
    assert model.tokens > 0
    assert Path(model.checkpoint).is_file()
