"""Test notifications, and which failed steps are retried."""

import sqlite3
from types import SimpleNamespace

import httpx
import pytest
import requests
import sqlalchemy
from mlflow.exceptions import MlflowException

from flows.runtime import notifying, retrying
from rnnlm.config import RetrainingConfig
from rnnlm.errors import ConfigError, FetchError


def run_of(deployment: str | None = None, **parameters: object) -> SimpleNamespace:
    return SimpleNamespace(name="tiny", parameters=parameters, deployment_id=deployment)


FAILED = SimpleNamespace(name="Failed", message="CorpusError: no file tiny.txt")


def test_a_webhook_gets_the_events_that_the_config_asks_for(messages: list[dict]):
    config = RetrainingConfig(notify=("champion",))
    assert notifying.tell(config, "champion", "tiny: version 2", "0.1 bits better")
    assert not notifying.tell(config, "worse", "tiny", "worse")
    assert [(m["title"], m["message"]) for m in messages] == [
        ("tiny: version 2", "0.1 bits better")
    ]


def test_a_failed_run_sends_a_notification_unless_someone_watches_it(messages: list[dict]):
    notifying.of_failure(None, run_of(config="gone.toml", trigger="schedule"), FAILED)
    notifying.of_failure(None, run_of(config="gone.toml", trigger="manual"), FAILED)
    assert [m["title"] for m in messages] == ["tiny: the run failed"]
    assert "no file tiny.txt" in messages[0]["message"]


def test_a_flow_without_a_trigger_counts_as_watched_unless_a_deployment_runs_it(
    messages: list[dict],
):
    notifying.of_failure(None, run_of(model="tiny"), FAILED)
    assert not messages
    notifying.of_failure(None, run_of(deployment="nightly", model="tiny"), FAILED)
    assert [m["title"] for m in messages] == ["tiny: the run failed"]


def test_having_no_address_to_notify_is_not_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RNNLM_NOTIFY", raising=False)
    assert not notifying.tell(RetrainingConfig(), "failed", "title", "body")


def test_an_unreachable_address_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("RNNLM_NOTIFY", "json://127.0.0.1:9/hook")
    assert not notifying.tell(RetrainingConfig(), "failed", "tiny: the run failed", "body")
    assert "could not notify every address in RNNLM_NOTIFY" in caplog.text


@pytest.mark.parametrize(
    "address", ["json://me:s3cret@127.0.0.1:9/s3cret", "nosuch://s3cret", "s3cret"]
)
def test_an_address_is_never_printed(
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("RNNLM_NOTIFY", address)
    assert not notifying.tell(RetrainingConfig(), "failed", "tiny: the run failed", "body")
    assert "s3cret" not in caplog.text + "".join(capfd.readouterr())


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        httpx.ConnectError("refused"),
        requests.ConnectionError(),
        sqlalchemy.exc.OperationalError(
            "insert", {}, sqlite3.OperationalError("database is locked")
        ),
        MlflowException("API request failed: Connection refused"),
        caused(FetchError("cannot fetch a.txt"), httpx.ReadTimeout("slow")),
    ],
)
def test_temporary_failures_are_retried(error: Exception):
    assert retrying.can_help(error)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("a key nobody knows"),
        FetchError("its checksum is wrong"),
        ValueError("a bug"),
        MlflowException("Registered Model with name=x not found"),
        OSError(28, "No space left on device"),
        None,
    ],
)
def test_permanent_failures_are_not_retried(error: Exception | None):
    assert not retrying.can_help(error)


def test_manual_runs_fail_at_once():
    assert retrying.options() == {"retries": 0}
    with retrying.patiently(True):
        assert retrying.options()["retries"] == len(retrying.DELAYS_SECONDS)
