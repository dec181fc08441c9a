"""Test the models that `rnnlm.load` returns: how they draw and score, and what they import."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rnnlm
from flows.lookup.entries import CHECKPOINT_TAG
from flows.runtime.home import Home
from flows.tracking import connect
from rnnlm import checkpoint, dataset
from rnnlm.errors import ConfigError, RegistryError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.interface.samples import Samples
from rnnlm.models import build
from rnnlm.storage import file_digest
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ROOT, tiny_experiment


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    made = tmp_path / "model.safetensors"
    experiment = tiny_experiment(corpus={"condition": [], "form": "text"})
    network, letters = build(experiment.model, 9), CharacterTokenizer("abc 123")
    checkpoint.save(made, network, letters, experiment, {"precision": {"chosen": "int8"}})
    return made


def test_samples_begin_with_the_prefix_and_can_be_drawn_again(path: Path):
    model = rnnlm.load(path)
    texts = model.sample(4, prefix="ab", temperature=0.7, max_length=9)
    assert len(texts) == 4
    assert all(text.startswith("ab") for text in texts)
    assert model.sample(4, "ab", temperature=0.7, max_length=9, seed=texts.seed) == texts
    assert texts[1:] == Samples(texts.texts[1:], "text", texts.seed)
    assert isinstance(texts[0], str)
    assert str(texts) == repr(texts) == "\n".join(texts)


def test_texts_are_generated_without_end_in_little_memory(path: Path):
    model = rnnlm.load(str(path))
    endless = model.generate(10**12, unique=True, max_length=30)
    first = [*itertools.islice(endless, 500)]
    assert len({*first}) == 500
    assert [*itertools.islice(model.generate(10**12, unique=True, max_length=30), 500)] == first


def test_a_score_is_that_of_the_evaluation(tmp_path: Path, path: Path):
    model, loaded = rnnlm.load(path), checkpoint.load(path)
    expected = evaluate(loaded.model, dataset.from_texts(loaded.tokenizer, ["ab 1", "c"])).score
    assert model.score(["ab 1", "c"]) == expected
    assert model.score("ab 1").bits_per_character > 0
    (tmp_path / "lines.txt").write_text("ab 1\nc\n")
    assert model.score(tmp_path / "lines.txt") == expected


def test_wrong_settings_are_refused(path: Path):
    model = rnnlm.load(path)
    for settings, message in (
        ({"temprature": 1}, "did you mean temperature"),
        ({"temperature": -1}, "temperature = -1"),
    ):
        with pytest.raises(ConfigError, match=message):
            model.sample(**settings)


def test_a_saved_model_is_one_file_that_can_be_loaded(tmp_path: Path, path: Path):
    copy = rnnlm.load(path).save(tmp_path / "copies")
    assert copy == tmp_path / "copies" / "tiny.safetensors"
    assert file_digest(copy) == file_digest(path)
    assert rnnlm.load(tmp_path / "copies").sample(2, seed=1) == rnnlm.load(path).sample(2, seed=1)


def test_notebooks_show_swatches_and_escaped_text(path: Path):
    shown = Samples(("dark <b> 1 2 255",), "color", 1)._repr_html_()
    assert "background:#0102ff" in shown
    assert "dark &lt;b&gt;" in shown
    assert "<script>" not in Samples(("<script>",), "text", 1)._repr_html_()
    model = rnnlm.load(path)
    assert "parameters" in model._repr_html_()
    assert math.isnan(model.bits_per_character)
    assert repr(model) == f"<rnnlm.Model 'tiny' at {path}>"


def test_load_finds_a_model_by_its_name_in_the_registry(tmp_path: Path, path: Path):
    client = connect(Home(tmp_path))
    client.create_registered_model("tiny")
    stored = tmp_path / "stored" / "artifacts" / "model.safetensors"
    rnnlm.load(path).save(stored)
    tags = {CHECKPOINT_TAG: file_digest(path)}
    client.create_model_version("tiny", source=(tmp_path / "stored").as_uri(), tags=tags)
    client.set_registered_model_alias("tiny", "champion", "1")
    model = rnnlm.load("tiny")
    assert (model.name, model.path) == ("tiny/1", stored)
    assert len(model.sample(2)) == 2
    assert [*(tmp_path / "data" / "packed").iterdir()]
    with pytest.raises(RegistryError, match="no model 'nobody'"):
        rnnlm.load("nobody")


def test_another_project_s_package_named_flows_is_not_imported(tmp_path: Path, path: Path):
    theirs = tmp_path / "project" / "flows" / "__init__.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("raise AssertionError('imported')")
    script = f"""
import rnnlm
assert len(rnnlm.load({str(path)!r}).sample(2)) == 2
try:
    rnnlm.load("tiny")
except rnnlm.RnnlmError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path / "project",  # comes first on the path
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "no model 'tiny'" in ended.stdout


def test_dir_lists_the_interface_and_other_names_are_refused():
    assert {"train", "load", "Model"} <= {*dir(rnnlm)}
    assert all(hasattr(rnnlm, name) for name in rnnlm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        rnnlm.trian  # noqa: B018


def test_a_path_is_sampled_without_torch_and_without_flows(path: Path):
    rnnlm.load(path).sample(1)  # packs it
    script = f"""
import sys, rnnlm
assert len(rnnlm.load({str(path)!r}).sample(3)) == 3
assert not {{"torch", "flows", "prefect", "mlflow", "pandas", "rich"}} & {{*sys.modules}}
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
