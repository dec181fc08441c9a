from pathlib import Path

import pytest

from flows.lookup.finding import find
from flows.runtime.home import Home
from rnnlm import bases, checkpoint
from rnnlm.config import ModelConfig
from rnnlm.errors import CheckpointError, RegistryError
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import call_cli
from tests.play.in_node import loaded_model

LETTERS = CharacterTokenizer("abcdefgh ")


def save(path: Path, **settings) -> None:
    model = build(ModelConfig(**({"hidden_size": 16} | settings)), LETTERS.vocab_size).eval()
    loaded = loaded_model(model, LETTERS)
    checkpoint.save(path, loaded.model, loaded.tokenizer, loaded.experiment, {})


def test_a_checkpoint_becomes_a_page_without_a_registry(tmp_path: Path):
    save(tmp_path / "mine.safetensors")
    finished = call_cli(tmp_path, "export", "mine.safetensors", "--html", "mine.html")
    assert finished.status == 0, finished.err
    assert "mine.html, 0." in finished.out
    assert (tmp_path / "mine.html").read_text().startswith("<!doctype html>")
    assert not (tmp_path / "mlruns").exists()


def test_a_base_is_found_without_a_registry(tmp_path: Path):
    found = find(Home(tmp_path), "english")
    assert found.checkpoint == bases.shipped("english")
    assert not found.is_registered
    assert not [*tmp_path.iterdir()]


def test_a_missing_model_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no file"):
        find(Home(tmp_path), "missing.safetensors")
    with pytest.raises(RegistryError, match="no model 'missing'"):
        find(Home(tmp_path), "missing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --archive"),
        (("--out", "a.safetensors", "--html", "a.html"), "expected one of --archive"),
        (("--html", "a.txt"), "ends in .html"),
        (("--html", "a.html"), "kind mingru"),
    ],
)
def test_an_impossible_export_is_refused_before_anything_is_written(
    options: tuple[str, ...], message: str, tmp_path: Path
):
    save(tmp_path / "mine.safetensors", architecture="mingru")
    finished = call_cli(tmp_path, "export", "mine.safetensors", *options)
    assert finished.status == 1
    assert message in finished.err
    assert len(finished.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]


def test_a_registered_model_is_found_by_name_alias_and_number(trained: Path):
    for reference in ("tiny", "tiny@champion", "tiny/1"):
        found = find(Home(trained), reference)
        assert (found.name, found.is_registered) == ("tiny/1", True)
        assert found.checkpoint.suffix == ".safetensors"
        assert found.bits_per_character is not None
