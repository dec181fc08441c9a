"""Test that `rnnlm delete` deletes what it says, only that, and never a champion unasked."""

import shutil
import time
from pathlib import Path

import pytest

from flows import registry
from flows.cleanup import deleting, removing
from flows.cleanup.leftovers import Found, leftovers, look
from flows.cleanup.removing import remove
from flows.cleanup.rules import DAY_SECONDS, Leftover, Rules
from flows.runtime.home import Home
from flows.tracking import connect
from flows.transfer.exporting import export
from flows.transfer.importing import import_archive
from tests.conftest import call_cli

pytestmark = pytest.mark.slow


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with `tiny/1` @champion, and `other/1`, which has the same checkpoint."""
    home, path = Home(tmp_path), tmp_path / "tiny.zip"
    export(Home(trained), registry.resolve(Home(trained), "tiny"), path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it
    import_archive(home, path)
    import_archive(home, path, "other")
    registry.promote(home, "tiny", "1")
    shutil.copytree(trained / "data" / "corpora", home.data / "corpora")
    return home


def runs(home: Home) -> int:
    client = connect(home)
    return len(client.search_runs([e.experiment_id for e in client.search_experiments()]))


def test_a_champion_is_deleted_only_with_force(here: Home):
    for reference in ("tiny", "tiny/1", "tiny@champion"):
        refused = call_cli(here.root, "delete", reference, "--yes")
        assert refused.status == 1
        assert refused.err == "error: tiny/1 is the champion; add --force to delete it\n"
    assert len(registry.versions(here)) == 2
    done = call_cli(here.root, "delete", "tiny/1", "--yes", "--force")
    assert done.status == 0, done.err
    assert [v.name for v in registry.versions(here)] == ["other"]


def test_nothing_is_deleted_unasked(here: Home):
    refused = call_cli(here.root, "delete", "other")
    assert refused.status == 1
    assert "expected --yes" in refused.err
    assert len(registry.versions(here)) == 2


def test_what_is_deleted_is_said_and_what_others_need_stays(here: Home):
    assert runs(here) == 2
    done = call_cli(here.root, "delete", "other", "--yes", "--json").json
    assert done["versions"] == ["other/1"]
    assert {one["kind"] for one in done["deleted"]} == {"version", "run", "step"}
    assert sum(one["bytes"] for one in done["deleted"]) == done["bytes"] > 0
    assert [v.name for v in registry.versions(here)] == ["tiny"]
    assert runs(here) == 1
    assert registry.is_whole(here, registry.resolve(here, "tiny"))
    assert [*(here.data / "models" / "other").glob("*/")] == []
    assert [*(here.data / "corpora" / "tiny").glob("*/")] != []


def test_the_last_version_takes_its_corpus_and_its_packed_form_along(here: Home):
    assert call_cli(here.root, "delete", "other", "--yes").status == 0
    assert [*here.packed.glob("*.safetensors")] != []
    said = call_cli(here.root, "delete", "tiny", "--yes", "--force")
    assert max(map(len, said.out.splitlines())) <= 80
    assert registry.versions(here) == []
    assert connect(here).search_registered_models() == []
    assert runs(here) == 0
    for kind in ("models", "corpora"):
        assert [*(here.data / kind / "tiny").glob("[!.]*/")] == []
    assert [*here.packed.glob("*.safetensors")] == []
    assert [*here.mlruns.glob("artifacts/*/*/artifacts/*")] == []


def test_an_unknown_model_is_refused_with_those_there_are(here: Home):
    assert "did you mean" in call_cli(here.root, "delete", "tinny").err
    assert "has no version '7'" in call_cli(here.root, "delete", "tiny/7").err


def test_a_deletion_that_is_killed_is_ended_by_the_next_command(here: Home):
    """Wherever it stops, `delete` and housekeeping remove the rest."""
    deleting.delete(here, "tiny", time.time(), force=True)
    removed: list[Leftover] = []
    for stop in range(3):  # before the version, the run, the step
        if stop:
            import_archive(here, here.root / "tiny.zip", "other")
        removed.clear()

        def killed(found: Found, leftover: Leftover, stop: int = stop) -> bool:
            if len(removed) == stop:
                raise KeyboardInterrupt
            removed.append(leftover)
            return remove(found, leftover)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removing, "remove", killed)
            with pytest.raises(KeyboardInterrupt):
                deleting.delete(here, "other", time.time())
        assert len(registry.versions(here, "other")) == (0 if stop else 1)
        deleting.delete(here, "other", time.time())
        rest = look(here, Rules(1, 5, time.time() + 2 * DAY_SECONDS), set())
        for leftover in leftovers(rest):
            remove(rest, leftover)
        assert connect(here).search_registered_models() == []
        assert runs(here) == 0
        assert [*(here.data / "models" / "other").glob("[!.]*/")] == []
