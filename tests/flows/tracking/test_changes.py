"""Test what MLflow's runs say of their differences from the champion's run."""

import json
from pathlib import Path

import pytest
from mlflow.entities import Dataset, DatasetInput, Param, RunTag
from mlflow.tracking import MlflowClient

from flows import registry
from flows.runtime.home import Home
from flows.tracking import connect
from flows.tracking.changes import (
    CODE_TAG,
    COMMIT_TAG,
    CORPUS_TAG,
    DATA_TAG,
    SETTINGS_TAG,
    SOURCES_TAG,
    TORCH_TAG,
    find_changes,
    log_changes,
    log_changes_since_champion,
    sources_digest,
)
from flows.tracking.connecting import flat
from tests.conftest import tiny_experiment


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    return connect(Home(tmp_path))


def add_run(
    client: MlflowClient,
    changed: dict[str, dict[str, object]] | None = None,
    corpus: str = "c" * 64,
    documents: int = 200,
    missing: tuple[str, ...] = (),
    **code: str,
) -> str:
    """Add a run as a training would, with only the parts that are compared."""
    run_id = str(client.create_run("0", tags={CORPUS_TAG: corpus}).info.run_id)
    settings = flat(tiny_experiment(**(changed or {})).model_dump())
    params = [Param(key, str(value)) for key, value in settings if key not in missing]
    known = {SOURCES_TAG: "a" * 12, TORCH_TAG: "2.13.0", COMMIT_TAG: "1" * 40} | code
    tags = [RunTag(key, value) for key, value in known.items() if value]
    client.log_batch(run_id, params=params, tags=tags)
    counts = {"train": documents, "test": 10}
    profile = json.dumps({"documents": counts, "characters": {"train": 20 * documents}})
    data = Dataset("tiny", corpus[:36], "local", "{}", profile=profile)
    client.log_inputs(run_id, datasets=[DatasetInput(data, [])])
    return run_id


def said(client: MlflowClient, here: str, there: str) -> dict[str, str]:
    return find_changes(client, here, there, 1).tags()


def test_equal_trainings_differ_in_nothing(client: MlflowClient):
    one, other = add_run(client), add_run(client)
    assert said(client, one, other) == {
        SETTINGS_TAG: "none", DATA_TAG: "none", CODE_TAG: "none"
    }  # fmt: skip


def test_changed_settings_data_and_code_are_listed_from_the_champion_to_the_run(
    client: MlflowClient,
):
    champion = add_run(client)
    changed = {"model": {"hidden_size": 32}, "training": {"budget": "9 epochs"}}
    run = add_run(
        client, changed, corpus="d" * 64, documents=240,
        **{SOURCES_TAG: "b" * 12, COMMIT_TAG: "2" * 40, TORCH_TAG: "2.14.0"},
    )  # fmt: skip
    assert said(client, run, champion) == {
        SETTINGS_TAG: "model.hidden_size 16 → 32, training.budget 3 epochs → 9 epochs",
        DATA_TAG: "corpus cccccccc → dddddddd, documents 210 → 250 (+40), "
        "characters 4,000 → 4,800 (+800)",
        CODE_TAG: "commit 1111111 → 2222222, torch 2.13.0 → 2.14.0",
    }
    assert "`model.hidden_size` 16 → **32**" in find_changes(client, run, champion, 1).in_markdown()


def test_a_setting_that_an_earlier_version_lacked_counts_as_its_default(client: MlflowClient):
    champion = add_run(client, missing=("training.canaries", "generation.min_p"))
    assert said(client, add_run(client), champion)[SETTINGS_TAG] == "none"
    run = add_run(client, {"generation": {"min_p": 0.1}})
    assert said(client, run, champion)[SETTINGS_TAG] == "generation.min_p 0.0 → 0.1"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {COMMIT_TAG: "2" * 40}, "none"),  # a commit that changed no source file
        ({}, {SOURCES_TAG: "b" * 12}, "sources aaaaaaaa → bbbbbbbb"),  # not committed
        ({SOURCES_TAG: ""}, {COMMIT_TAG: "2" * 40}, "commit 1111111 → 2222222"),  # an old run
        ({SOURCES_TAG: ""}, {}, "none"),
        ({COMMIT_TAG: ""}, {COMMIT_TAG: "", SOURCES_TAG: "b" * 12}, "sources aaaaaaaa → bbbbbbbb"),
    ],
)
def test_code_is_compared_by_its_sources_and_named_by_its_commit(
    client: MlflowClient, before: dict[str, str], after: dict[str, str], expected: str
):
    champion, run = add_run(client, **before), add_run(client, **after)
    assert said(client, run, champion)[CODE_TAG] == expected


def test_many_changes_fit_into_a_tag_and_the_rest_is_counted(client: MlflowClient):
    prefix = {"prefix": "x" * 3000, "banned": ["y" * 2000]}
    champion, run = add_run(client), add_run(client, {"generation": prefix})
    changes = log_changes(client, run, champion, 1)
    assert changes is not None
    assert len(changes.settings) == 2
    assert client.get_run(run).data.tags[SETTINGS_TAG].endswith(" and 1 more")


def test_the_run_of_a_champion_that_was_deleted_for_good_is_no_error(client: MlflowClient):
    run = add_run(client)
    assert log_changes(client, run, "0" * 32, 1) is None
    assert SETTINGS_TAG not in client.get_run(run).data.tags


def test_a_run_is_compared_with_the_present_champion_when_it_begins(client: MlflowClient):
    champion, run = add_run(client), add_run(client, {"model": {"hidden_size": 32}})
    log_changes_since_champion(client, run, "tiny")  # there is no champion yet
    assert SETTINGS_TAG not in client.get_run(run).data.tags
    client.create_registered_model("tiny")
    client.create_model_version("tiny", source="s", run_id=champion)
    log_changes_since_champion(client, run, "tiny")
    assert SETTINGS_TAG not in client.get_run(run).data.tags
    client.set_registered_model_alias("tiny", registry.CHAMPION, "1")
    log_changes_since_champion(client, run, "tiny")
    assert client.get_run(run).data.tags[SETTINGS_TAG] == "model.hidden_size 16 → 32"


def test_the_digest_of_the_sources_is_short_and_repeatable():
    first = sources_digest()
    sources_digest.cache_clear()
    assert sources_digest() == first
    assert len(first) == 12
