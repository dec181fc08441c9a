"""Test trainings that start from a registered model, from an exported one, or from none."""

import json
import shutil
from pathlib import Path

import pytest

from flows.registry import bases
from flows.runtime.home import Home
from rnnlm import bases as shipped_bases
from rnnlm.bases.windows import windows_of
from rnnlm.errors import CheckpointError
from rnnlm.header import load_description
from rnnlm.storage import file_digest
from tests.conftest import call_cli, fork_cli, lines, tiny_experiment
from tests.damage import flip_bit


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """Return a home with a trained model, and another text that uses the same letters."""
    copy = tmp_path / "home"
    shutil.copytree(trained, copy)
    (copy / "more.txt").write_text(
        "".join(sorted(lines(150).splitlines(keepends=True), reverse=True))
    )
    config = (copy / "tiny.toml").read_text().replace("tiny.txt", "more.txt")
    shape = "[model]\n        hidden_size = 16\n        embedding_size = 8\n"
    assert shape in config
    (copy / "more.toml").write_text(config.replace(shape, ""))
    return copy


@pytest.mark.slow
def test_a_registered_model_or_its_export_can_be_a_base(home: Path):
    exported = home / "tiny-base.safetensors"
    written = call_cli(home, "export", "tiny", "--out", str(exported))
    assert written.status == 0, written.err
    card = exported.with_suffix(".md").read_text()
    assert "rnnlm train configs/tiny.toml" in card
    assert len(windows_of(exported)) == 0  # the lines are shorter than a window
    first = load_description(exported)
    for name in ("tiny", str(exported)):
        ended = fork_cli(home, "train", "more.toml", "--set", f"training.base={name}", "--json")
        assert ended.status == 0, ended.err
        result = json.loads(ended.out)
        assert result["training"]["base"] == name
        assert f"from base {name}".replace(" ", "") in "".join(ended.err.split())
        model = home / "data" / "models" / "more"
        newest = max(model.glob("*/best.safetensors"), key=lambda path: path.stat().st_mtime)
        found = load_description(newest)
        assert found.experiment.model == first.experiment.model
        assert found.tokenizer.to_json() == first.tokenizer.to_json()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "training.base = nobody: no model 'nobody'"),
        ("gone.safetensors", "training.base = gone.safetensors: no such file; check the path"),
    ],
)
@pytest.mark.slow
def test_a_missing_base_is_a_one_line_error(home: Path, name: str, said: str):
    ended = call_cli(home, "train", "more.toml", "--set", f"training.base={name}", "--plan")
    assert ended.status == 1
    assert said in " ".join(ended.err.split())
    assert len(ended.err.strip().splitlines()) <= 4


@pytest.mark.slow
def test_a_base_that_is_not_installed_is_a_one_line_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipped_bases, "shipped", lambda name: home / f"{name}.safetensors")
    ended = call_cli(home, "train", "more.toml", "--set", "training.base=english", "--plan")
    assert ended.status == 1
    assert "this installation does not contain it" in " ".join(ended.err.split())


@pytest.mark.slow
def test_an_export_needs_the_right_file_extension(home: Path):
    ended = call_cli(home, "export", "tiny", "--out", str(home / "x.bin"))
    assert ended.status == 1
    assert "ends in .safetensors" in ended.err


def test_a_damaged_base_of_the_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "base-english.safetensors"
    path.write_bytes(bytes(1000))
    path.with_suffix(".md").write_text(f"- **Digest** sha256 `{file_digest(path)}`\n")
    monkeypatch.setattr(shipped_bases, "shipped", lambda _: path)
    experiment = tiny_experiment(training={"base": "english"})
    found = bases.find(Home(tmp_path), experiment)
    assert found is not None
    flip_bit(path)
    with pytest.raises(CheckpointError, match="install the package again"):
        bases.find(Home(tmp_path), experiment)
