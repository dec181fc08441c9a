"""Test that MLflow's descriptions say which version has which alias, after every kind of move."""

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows import registry
from flows.registry import Version
from flows.registry.pages import with_status
from flows.runtime.home import Home
from flows.tracking import connect
from flows.tracking.changes import CODE_TAG, DATA_TAG, SETTINGS_TAG

BODY = "The gate made it **champion**: better."


@pytest.fixture
def here(tmp_path: Path) -> Home:
    return Home(tmp_path)


def add(here: Home, *, wins: bool = True) -> Version:
    """Add a version with an MLflow run, and place it as the gate does."""
    client = connect(here)
    if not client.search_registered_models("name = 'tiny'"):
        client.create_registered_model("tiny")
    number = len(registry.versions(here, "tiny")) + 1
    run_id = client.create_run("0", tags={"rnnlm.version": f"tiny/{number}"}).info.run_id
    version = Version(name="tiny", version=number, run_id=run_id, test_bits_per_character=2.5)
    client.create_model_version("tiny", source=f"s{number}", run_id=run_id, tags=version.tags())
    champion = registry.by_alias(here, "tiny", registry.CHAMPION)
    over = champion.version if champion else None
    tags = {SETTINGS_TAG: "model.hidden_size 16 → 32", DATA_TAG: "none", CODE_TAG: "none"}
    placed = registry.place(
        here, version, over, wins=wins, reason="better", description=BODY, tags=tags
    )
    assert placed is not None
    return placed


def now(here: Home) -> list[str]:
    """Return the first paragraph of each version's description, without the time."""
    client = connect(here)
    found = sorted(client.search_model_versions("name = 'tiny'"), key=lambda v: int(v.version))
    assert all(version.description.endswith(f"\n\n{BODY}") for version in found)
    return [v.description.split("\n\n")[0].partition(", since")[0] for v in found]


def in_runs(here: Home) -> list[str]:
    """Return the alias in the tags of each version's run."""
    client = connect(here)
    found = registry.versions(here, "tiny")[::-1]
    return [client.get_run(version.run_id).data.tags["rnnlm.alias"] for version in found]


def test_every_page_is_true_after_a_promotion_and_a_rollback(here: Home):
    for wins in (True, True, False):
        add(here, wins=wins)
    previous = "Now the previous champion; version {} is the champion."
    challenger = "Now the challenger; version {} is the champion."
    assert now(here) == [previous.format(2), "Now the champion", challenger.format(2)]
    assert in_runs(here) == ["previous", "champion", "challenger"]

    registry.rollback(here, "tiny", "sounds dull")
    assert now(here) == ["Now the champion", previous.format(1), challenger.format(1)]
    assert in_runs(here) == ["champion", "previous", "challenger"]
    champion = connect(here).get_model_version("tiny", "1").description
    assert ": sounds dull." in champion.splitlines()[0]

    registry.promote(here, "tiny", "3")
    assert now(here) == [previous.format(3), "Now without an alias.", "Now the champion"]
    assert in_runs(here) == ["previous", "none", "champion"]
    page = connect(here).get_registered_model("tiny").description
    assert page.startswith("Champion of `tiny`: **version 3**.")
    row = "| **champion** | 2.500 | better | model.hidden_size 16 → 32 |"
    assert row in page
    assert "| 1 → **3** | promoted by hand |" in page


def test_an_alias_that_was_moved_by_hand_is_told_by_the_next_command(here: Home):
    for wins in (True, True, False):
        add(here, wins=wins)
    client = connect(here)
    client.set_registered_model_alias("tiny", "champion", "1")
    client.delete_registered_model_alias("tiny", "challenger")
    with registry.moving(here, "tiny"):
        pass
    assert now(here)[0] == "Now the champion"
    assert now(here)[2] == "Now without an alias."
    assert in_runs(here)[::2] == ["champion", "none"]


def test_a_model_without_a_champion_says_so(here: Home):
    add(here, wins=False)
    assert now(here) == ["Now the challenger; no version is the champion."]
    assert "`tiny` has no champion yet." in connect(here).get_registered_model("tiny").description


def test_a_kill_while_pages_are_rewritten_is_mended_by_the_next_command(
    here: Home, monkeypatch: pytest.MonkeyPatch
):
    add(here)
    add(here)
    whole = MlflowClient.update_model_version
    for calls in range(3):
        registry.promote(here, "tiny", "2")
        made = 0

        def stop(self, *arguments, calls=calls, **named):
            nonlocal made
            made += 1
            if made > calls:
                raise MlflowException("cut off")
            return whole(self, *arguments, **named)

        with monkeypatch.context() as cut:
            cut.setattr(MlflowClient, "update_model_version", stop)
            if calls < 2:
                with pytest.raises(MlflowException, match="cut off"):
                    registry.rollback(here, "tiny")
            else:
                registry.rollback(here, "tiny")
        with registry.moving(here, "tiny"):
            pass
        assert now(here) == [
            "Now the champion",
            "Now the previous champion; version 1 is the champion.",
        ]
        assert in_runs(here) == ["champion", "previous"]
        assert registry.history(here, "tiny")[0].after == 1


def test_nothing_is_written_if_nothing_has_changed(here: Home, monkeypatch: pytest.MonkeyPatch):
    add(here)

    def refuse(*_, **__):
        raise AssertionError

    for name in ("update_model_version", "update_registered_model", "log_batch"):
        monkeypatch.setattr(MlflowClient, name, refuse)
    with registry.moving(here, "tiny"):
        pass


def test_what_an_earlier_version_of_the_package_wrote_is_corrected(here: Home):
    add(here)
    second = add(here)
    client = connect(here)
    old = "champion: better\n\n| model | bits per character |"
    client.update_model_version("tiny", "2", old)
    client.set_tag(second.run_id, "rnnlm.verdict", "champion: better")
    note = (
        "**Test: 2.5**\n\nVersion [tiny/2](#/models/tiny/versions/2), **champion**:\n\n- ✓ better"
    )
    client.set_tag(second.run_id, "mlflow.note.content", note)
    registry.rollback(here, "tiny")
    page = client.get_model_version("tiny", "2").description
    assert page.startswith("Now the previous champion; version 1 is the champion.\n\n")
    assert "\n\nThe gate made it **champion**: better.\n\n| model |" in page
    tags = client.get_run(second.run_id).data.tags
    assert tags["rnnlm.verdict"] == "became champion: better"
    assert ") became **champion**:\n\n- ✓" in tags["mlflow.note.content"]


@pytest.mark.parametrize("gone", ["for good", "until it is restored"])
def test_a_run_that_was_deleted_does_not_stand_in_the_way(here: Home, gone: str):
    first = add(here)
    add(here)
    client = connect(here)
    client.delete_run(first.run_id)
    if gone == "for good":
        client._tracking_client.store._hard_delete_run(first.run_id)
    registry.rollback(here, "tiny")
    assert now(here)[0] == "Now the champion"


def test_a_status_replaces_a_status_and_keeps_what_users_wrote():
    assert with_status("mine", "Now the champion.") == "Now the champion.\n\nmine"
    again = with_status("Now the champion.\n\nmine\n\nmore", "Now without an alias.")
    assert again == "Now without an alias.\n\nmine\n\nmore"
    assert with_status("", "Now the champion.") == "Now the champion."
