"""Test that models are found in MLflow's store without MLflow, as MLflow itself finds them."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flows import registry
from flows.lookup import finding
from flows.lookup.entries import CHECKPOINT_TAG, read
from flows.lookup.finding import find, find_default
from flows.registry import Version
from flows.runtime import backups
from flows.runtime.home import Home
from flows.tracking import connect, connecting
from rnnlm.engine.loading import load_sampler, user_folder
from rnnlm.errors import CheckpointError, RegistryError, StorageError
from rnnlm.storage import file_digest
from tests.conftest import ROOT
from tests.damage import cut, flip_bit
from tests.generation.jobs import saved_model


@pytest.fixture
def here(tmp_path: Path) -> Home:
    """A home with two versions of a model, of which the first is the champion."""
    home = Home(tmp_path)
    client = connect(home)
    client.create_registered_model("tiny")
    for number in (1, 2):
        folder = tmp_path / "mlruns" / f"m-{number}" / "artifacts"
        path = saved_model(folder / "model.safetensors", "abc" + "d" * number + "e" * (number - 1))
        tags = {CHECKPOINT_TAG: file_digest(path)}
        client.create_model_version("tiny", source=folder.parent.as_uri(), tags=tags)
    client.set_registered_model_alias("tiny", "champion", "1")
    return home


def test_models_are_found_as_mlflow_finds_them(here: Home):
    for reference in ("tiny", "tiny/1", "tiny/2", "tiny@champion"):
        version = registry.resolve(here, reference)
        found = find(here, reference)
        assert found.name == f"tiny/{version.version}"
        assert found.digest == version.checkpoint == file_digest(found.checkpoint)
        assert found.folder == here.packed


def test_an_alias_moved_in_mlflow_is_followed(here: Home):
    assert find(here, "tiny").name == find_default(here)[0].name == "tiny/1"
    connect(here).set_registered_model_alias("tiny", "champion", "2")
    connect(here).set_registered_model_alias("tiny", "best-so-far", "1")
    assert find(here, "tiny").name == find_default(here)[0].name == "tiny/2"
    assert find(here, "tiny@best-so-far").name == "tiny/1"


def test_a_challenger_without_a_champion_is_known_as_one(here: Home, monkeypatch):
    assert not find(here, "tiny").is_second_choice
    client = connect(here)
    client.delete_registered_model_alias("tiny", "champion")
    client.set_registered_model_alias("tiny", "challenger", "2")
    for _ in range(2):
        found = find(here, "tiny")
        assert (found.name, found.is_second_choice) == ("tiny/2", True)
        assert not find(here, "tiny/2").is_second_choice
        assert not find(here, "tiny@challenger").is_second_choice
        monkeypatch.setattr("flows.lookup.finding.read", lambda _: None)  # then MLflow finds it


def test_deleted_versions_are_gone(here: Home):
    connect(here).delete_model_version("tiny", "1")
    with pytest.raises(RegistryError, match="no version '1'"):
        find(here, "tiny/1")
    with pytest.raises(RegistryError, match="no alias 'champion'"):
        find(here, "tiny")


@pytest.mark.parametrize("reference", ["nobody", "tiny/9", "tiny@nobody", "nobody@champion"])
def test_a_model_that_is_missing_is_refused_with_the_registrys_words(here: Home, reference: str):
    with pytest.raises(RegistryError) as direct:
        find(here, reference)
    with pytest.raises(RegistryError) as through_mlflow:
        registry.resolve(here, reference)
    assert str(direct.value) == str(through_mlflow.value)


def test_a_store_of_another_schema_is_left_to_mlflow(here: Home, monkeypatch: pytest.MonkeyPatch):
    with closing(sqlite3.connect(here.mlruns / "mlflow.db")) as store:
        store.execute("ALTER TABLE model_versions RENAME COLUMN storage_location TO elsewhere")
    assert read(here) is None
    monkeypatch.setattr(
        registry, "versions", lambda home: [Version(name="other", version=1, alias="champion")]
    )
    assert finding._champions(here) == ["other"]
    asked = []
    monkeypatch.setattr(finding, "_with_mlflow", lambda home, name: asked.append((home, name)))
    find(here, "tiny")
    assert asked == [(here, "tiny")]


def test_a_damaged_checkpoint_is_replaced_unless_its_packed_form_is_kept(here: Home):
    path = find(here, "tiny").checkpoint
    copy = here.data / "models" / "tiny" / "some" / "model.safetensors"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    load_sampler(path, here.packed, file_digest(path))
    flip_bit(path)
    assert find(here, "tiny").checkpoint == path
    assert path.read_bytes() != copy.read_bytes()
    assert find(here, "tiny", verify=True).checkpoint == path
    assert path.read_bytes() == copy.read_bytes()
    flip_bit(path)
    shutil.rmtree(here.packed)
    find(here, "tiny")
    assert path.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_a_damaged_store_is_refused_with_the_command_that_repairs_it(here: Home, harm):
    store = here.mlruns / "mlflow.db"
    backups.back_up(here)
    harm(store)
    connecting._connect.cache_clear()
    with pytest.raises(StorageError, match="rnnlm doctor --repair"):
        find(here, "tiny")


def test_a_home_without_a_store_has_no_models(tmp_path: Path):
    with pytest.raises(RegistryError, match="none yet; make one with"):
        find(Home(tmp_path), "tiny")
    assert not (tmp_path / "mlruns").exists()


def test_without_exactly_one_champion_the_base_is_the_default(here: Home, tmp_path: Path):
    client = connect(here)
    client.create_registered_model("other")
    client.create_model_version("other", source=tmp_path.as_uri())
    client.set_registered_model_alias("other", "champion", "1")
    found, why = find_default(here)
    assert found.name == "base english"
    assert why == "there are 2 champions here: other, tiny"
    assert find_default(Home(tmp_path / "new"))[1] == "there is no champion here yet"
    assert find(here, "english") == found


def test_paths_are_found_and_names_take_precedence(here: Home, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved_model(tmp_path / "book" / "best.safetensors", "xyz")
    (tmp_path / "tiny").mkdir()
    assert find(here, "tiny").name == "tiny/1"
    for model in ("book", "./book", "book/best.safetensors", str(path)):
        found = find(here, model)
        assert found.checkpoint.resolve() == path
        assert found.folder == user_folder()
    with pytest.raises(CheckpointError, match="no model in tiny"):
        find(here, "./tiny")
    with pytest.raises(CheckpointError, match="no file nowhere"):
        find(here, "nowhere.safetensors")


def test_finding_a_model_imports_neither_mlflow_nor_torch(here: Home):
    script = """
import sys
from flows.lookup.finding import find
from flows.runtime.home import current
assert find(current(), "tiny@champion").name == "tiny/1"
assert not {"mlflow", "torch", "prefect", "pandas"} & {*sys.modules}
"""
    environment = {"RNNLM_HOME": str(here.root), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
