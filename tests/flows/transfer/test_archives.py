"""Test that a version moves to another home whole, once, and whatever kills the import."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from flows import registry
from flows.registry import Version
from flows.runtime.home import Home
from flows.transfer import exporting, importing
from flows.transfer.importing import Imported
from rnnlm.archive import MANIFEST
from rnnlm.checksums import sealed
from rnnlm.errors import CheckpointError, DamagedFileError
from rnnlm.storage import file_digest
from tests.conftest import call_cli
from tests.killing import run_until

pytestmark = pytest.mark.slow


def export(home: Home, to: Path) -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it to the store used before
    exporting.export(home, registry.resolve(home, "tiny"), to)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def import_archive(home: Home, path: Path) -> Imported:
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return importing.import_archive(home, path)


@pytest.fixture(scope="module")
def packed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the only version of a home."""
    path = tmp_path_factory.mktemp("packed") / "tiny.zip"
    export(Home(trained), path)
    return path


@pytest.fixture
def there(tmp_path: Path) -> Home:
    return Home(tmp_path)


def check_whole(home: Home, version: Version, trained: Path) -> None:
    """Check that there is one version, one run and one package, as complete as the originals."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    old = registry.resolve(Home(trained), "tiny")
    (known,) = registry.versions(home)
    assert known == version
    assert (known.checkpoint, known.recipe) == (old.checkpoint, old.recipe)
    assert registry.is_whole(home, known)
    client, before = MlflowClient(home.tracking_uri), MlflowClient(Home(trained).tracking_uri)
    place = client.get_experiment_by_name("tiny").experiment_id
    (run,), was = client.search_runs([place]), before.get_run(old.run_id)
    assert run.info.run_id == known.run_id
    assert run.info.status == "FINISHED"
    about_the_model = {k: v for k, v in was.data.metrics.items() if not k.startswith("system/")}
    assert run.data.metrics == about_the_model
    assert run.data.params == was.data.params
    for key in ("by_step/train_bits_per_character", "by_tokens/validation_bits_per_character"):
        curves = [
            [(point.step, point.value) for point in one.get_metric_history(number, key)]
            for one, number in ((client, known.run_id), (before, old.run_id))
        ]
        assert curves[0] == curves[1] != []
    files = [f.path for f in client.list_artifacts(known.run_id, "review")]
    assert "review/review.html" in files
    assert len(client.search_logged_models([place])) == 1
    folders = [*(home.data / "models" / "tiny").glob("[!.]*/")]
    assert [f.joinpath(".step.json").is_file() for f in folders] == [True]


def test_a_version_arrives_with_its_scores_curves_pages_and_history(
    trained: Path, packed: Path, there: Home
):
    imported = import_archive(there, packed)
    assert imported.is_new
    check_whole(there, imported.version, trained)
    assert imported.version.alias is None
    assert imported.version.imported_from == "tiny/1 @champion"
    shown = call_cli(there.root, "history", "tiny", "--json").json
    assert shown["moves"] == []
    assert [move["after"] for move in shown["imported"]["1"]["moves"]] == [1]
    page = connect_description(there)
    assert page.startswith("Imported; elsewhere it was tiny/1 @champion.")
    assert "bits per character" in page
    assert "Now the champion" not in page


def connect_description(home: Home) -> str:
    return str(MlflowClient(home.tracking_uri).get_model_version("tiny", "1").description)


def test_exporting_again_gives_the_same_bytes(trained: Path, packed: Path, tmp_path: Path):
    export(Home(trained), tmp_path / "again.zip")
    assert file_digest(packed) == file_digest(tmp_path / "again.zip")


def test_the_archive_holds_neither_the_training_text_nor_code(packed: Path):
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
    assert {Path(name).suffix for name in names} <= {
        ".json", ".safetensors", ".md", ".html", ".png", ".svg", ".txt"
    }  # fmt: skip
    assert not [name for name in names if "corpora" in name or name.endswith(".parquet")]


def test_importing_twice_registers_once(packed: Path, there: Home):
    first, second = import_archive(there, packed), import_archive(there, packed)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.version == second.version
    assert len(registry.versions(there)) == 1


def test_a_deleted_import_can_be_imported_again(packed: Path, there: Home):
    import_archive(there, packed)
    assert call_cli(there.root, "delete", "tiny", "--yes").status == 0
    assert registry.versions(there) == []
    assert import_archive(there, packed).is_new
    assert len(registry.versions(there)) == 1


def test_an_imported_version_samples_and_becomes_champion(packed: Path, there: Home):
    done = call_cli(there.root, "import", str(packed), "--name", "other", "--promote")
    assert done.status == 0, done.err
    assert "other/1 @champion, registered" in done.out
    assert max(map(len, done.out.replace(str(packed), "F").splitlines())) <= 80
    drawn = call_cli(there.root, "sample", "other", "-n", "2", "--json")
    assert len(drawn.out.splitlines()) == 2
    assert registry.history(there, "other")[0].why == "imported: tiny/1 @champion"
    scored = call_cli(there.root, "evaluate", "other")
    assert scored.status == 1
    assert "corpus of other/1, with its test split, is not in this home" in scored.err
    assert "--text FILE" in scored.err
    (there.root / "new.txt").write_text("teal green 1 2 3\n")
    scored = call_cli(there.root, "evaluate", "other", "--text", "new.txt", "--json")
    assert scored.json["bits_per_character"] > 0


def change(packed: Path, to: Path, name: str, content: bytes) -> Path:
    """Write an archive with one file changed, and with digests that fit."""
    with zipfile.ZipFile(packed) as old:
        members = {one: old.read(one) for one in old.namelist()}
    members[name] = content
    manifest = json.loads(members.pop(MANIFEST))
    manifest["files"][name] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with zipfile.ZipFile(to, "w") as new:
        for one, value in members.items():
            new.writestr(one, value)
        new.writestr(MANIFEST, json.dumps(sealed(manifest)))
    return to


def test_a_bad_archive_leaves_nothing_in_the_registry(packed: Path, there: Home, tmp_path: Path):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(packed) as archive:
        model = bytearray(archive.read("model.safetensors"))
        version = json.loads(archive.read("version.json"))
    model[-5] ^= 1
    with pytest.raises(DamagedFileError, match="is not the checkpoint that"):
        bad = change(packed, tmp_path / "in" / "a.zip", "model.safetensors", bytes(model))
        import_archive(there, bad)
    version["checkpoint"] = hashlib.sha256(model).hexdigest()
    with pytest.raises(CheckpointError, match="damaged"):
        import_archive(
            there,
            change(bad, tmp_path / "in" / "b.zip", "version.json", json.dumps(version).encode()),
        )
    for values in ({"name": "../../x"}, {"corpus_key": "../../../etc"}, {"version": -1}):
        bad = change(
            packed,
            tmp_path / "in" / "c.zip",
            "version.json",
            json.dumps({**version, **values}).encode(),
        )
        with pytest.raises(DamagedFileError, match=r"version\.json"):
            import_archive(there, bad)
    assert registry.versions(there) == []
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.75, 0.9, 0.99])
def test_a_killed_import_is_completed_by_the_next_and_nothing_is_half_registered(
    trained: Path, packed: Path, tmp_path: Path, share: float
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    if not (known := packed.with_suffix(".count")).exists():
        status, boundaries = run_until(10**9, lambda: import_archive(Home(tmp_path / "a"), packed))
        assert status == 0
        known.write_text(str(boundaries))
    here = Home(tmp_path / "b")
    status, _ = run_until(int(share * int(known.read_text())), lambda: import_archive(here, packed))
    assert status == -9
    for version in registry.versions(here):  # what is registered is whole
        assert registry.is_whole(here, version)
    check_whole(here, import_archive(here, packed).version, trained)


def test_export_and_import_are_refused_in_one_line(trained: Path, there: Home):
    nowhere = call_cli(there.root, "import", "nothing.zip")
    assert nowhere.status == 1
    assert nowhere.err == "error: no file nothing.zip; check the path\n"
    wrong = call_cli(trained, "export", "tiny", "--archive", "x.tar")
    assert "--archive x.tar: expected a name that ends in .zip" in wrong.err
    both = call_cli(trained, "export", "tiny")
    assert "expected one of --archive" in both.err
