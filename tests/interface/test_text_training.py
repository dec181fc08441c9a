"""Test `rnnlm.train`: the choices of the command line, kept results, resumption, threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rnnlm
from rnnlm.autoconfig import advise
from rnnlm.config import Experiment
from rnnlm.errors import ConfigError, CorpusError
from rnnlm.interface import text_training
from rnnlm.progress import Progress, silent
from rnnlm.storage import file_digest
from tests.conftest import ROOT, lines
from tests.damage import flip_bit

SMALL = {"training.budget": "2 epochs", "model.hidden_size": 16, "model.num_layers": 1}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "hues.txt"
    path.write_text(lines(64))
    return path


def test_a_text_becomes_a_model_with_the_choices_of_the_command_line(tmp_path: Path, text: Path):
    model = rnnlm.train(text, settings=SMALL, on_progress=silent)
    overrides = tuple(f"{name}={value}" for name, value in SMALL.items())
    assert model.experiment == advise(str(text), tmp_path, overrides).experiment
    assert model.name == "hues"
    assert model.path.is_relative_to(tmp_path / "cache" / "rnnlm" / "trained")
    assert 0 < model.bits_per_character < 8
    assert model.history[-1]["tokens"] > 0
    assert {path.name for path in model.path.parent.iterdir()} <= {
        "model.safetensors",
        "history.jsonl",
        "growth.jsonl",
        "trained.json",
        ".lock",
    }


def test_the_same_call_trains_once(text: Path, monkeypatch: pytest.MonkeyPatch):
    first = rnnlm.train(text, settings=SMALL, on_progress=silent)
    monkeypatch.setattr(text_training, "_train", None)
    assert rnnlm.train(text, settings=SMALL).path == first.path
    monkeypatch.undo()


def test_an_interrupted_call_resumes_where_it_stopped(tmp_path: Path, text: Path):
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rnnlm.train(text, tmp_path / "stopped", settings=SMALL, on_progress=stop)
    steps: list[int] = []
    resumed = rnnlm.train(
        text, tmp_path / "stopped", settings=SMALL, on_progress=lambda p: steps.append(p.step)
    )
    assert min(step for step in steps if step) > 3
    whole = rnnlm.train(text, tmp_path / "whole", settings=SMALL, on_progress=silent)
    assert file_digest(resumed.path) == file_digest(whole.path)


def test_a_damaged_model_is_trained_again(tmp_path: Path, text: Path):
    model = rnnlm.train(text, tmp_path / "out", settings=SMALL, on_progress=silent)
    whole = model.path.read_bytes()
    flip_bit(model.path)
    again = rnnlm.train(text, tmp_path / "out", settings=SMALL, on_progress=silent)
    assert again.path.read_bytes() == whole


def test_a_config_file_or_an_experiment_can_be_trained_too(tmp_path: Path, text: Path):
    model = rnnlm.train(text, settings=SMALL, on_progress=silent)
    again = rnnlm.train(model.experiment, tmp_path / "again", on_progress=silent)
    assert file_digest(again.path) == file_digest(model.path)
    config = tmp_path / "mine.toml"
    config.write_text(
        f'[corpus]\nsource = "{text}"\n[model]\nhidden_size = 16\n[training]\nbudget = "1 epoch"\n'
        "[splits]\nvalidation = 0.2\n"
    )
    trained = rnnlm.train(str(config), on_progress=silent)
    assert isinstance(trained.experiment, Experiment)
    assert trained.name == "mine"


def test_wrong_calls_are_refused_in_one_line(tmp_path: Path, text: Path):
    rnnlm.train(text, tmp_path / "out", settings=SMALL, on_progress=silent)
    with pytest.raises(ConfigError, match="holds a model of another text or of other settings"):
        rnnlm.train(text, tmp_path / "out", settings=SMALL | {"training.seed": 9})
    with pytest.raises(ConfigError, match="holds other files"):
        rnnlm.train(text, tmp_path, settings=SMALL)
    with pytest.raises(ConfigError, match="did you mean hidden_size"):
        rnnlm.train(text, settings={"model.hiden_size": 9})
    with pytest.raises(CorpusError, match=r"nowhere\.txt"):
        rnnlm.train(tmp_path / "nowhere.txt")


@pytest.mark.slow
def test_a_plain_script_trains_without_spinning_threads(tmp_path: Path, text: Path):
    script = f"""
import os, sys
if sys.argv[1] == "before":
    import torch
    torch.set_num_threads(2)
import rnnlm
model = rnnlm.train({str(text)!r}, {str(tmp_path)!r} + "/" + sys.argv[1], settings={SMALL!r})
print(os.environ.get("OMP_WAIT_POLICY"), (model.path.parent / "experiment.json").is_file())
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP")}
    for when, expected in (("before", "None True"), ("later", "passive False")):
        ended = subprocess.run(
            [sys.executable, "-c", script, when],
            env=kept | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.strip() == expected
    one, other = (tmp_path / name / "model.safetensors" for name in ("before", "later"))
    assert file_digest(one) == file_digest(other)
