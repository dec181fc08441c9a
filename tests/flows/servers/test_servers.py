"""Test `rnnlm serve`: wrong settings that it refuses, its servers, crashes, and what is left."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from prefect import Flow
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed

from flows.runtime import home, notifying
from flows.servers import deployments, processes, standing, stores
from rnnlm.errors import ServerError
from rnnlm.training.history import read_history
from tests.conftest import ROOT, call_cli
from tests.flows.conftest import Served
from tests.flows.serving import DATABASE_PASSWORD, PASSWORD, Running, environment, wait_until

FLOW = "def flow(config, trigger='manual'): ..."
GOOD = """
deployments:
  - name: one
    entrypoint: flow.py:flow
    parameters: {config: a.toml}
    work_pool: {name: rnnlm}
    schedules:
      - {cron: "0 2 * * *", timezone: UTC}
"""


def write_file(folder: Path, text: str = GOOD) -> Path:
    (folder / "flow.py").write_text(FLOW)
    (folder / "prefect.yaml").write_text(text)
    return folder / "prefect.yaml"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ('{cron: "0 2 * * *", timezone: UTC}', "daily at 02:00 UTC"),
        ('{cron: "5 14 * * 1-5", timezone: Europe/Berlin}', "on weekdays at 14:05 Europe/Berlin"),
        ('{cron: "0 6 * * 0"}', "Sundays at 06:00 UTC"),
        ('{cron: "0 0 1 * *"}', "monthly on the 1. at 00:00 UTC"),
        ('{cron: "*/15 * * * *"}', "every 15 minutes"),
        ('{cron: "*/7 * * * *"}', "cron */7 * * * * UTC"),
        ('{cron: "7 * * * *"}', "hourly at :07"),
        ("{interval: 5}", "every 5 seconds"),
        ("{interval: 3600}", "every hour"),
        ("{interval: PT2H}", "every 2 hours"),
        ("{rrule: FREQ=DAILY}", "FREQ=DAILY"),
    ],
)
def test_a_schedule_is_described_in_words(tmp_path: Path, schedule: str, words: str):
    text = GOOD.replace('{cron: "0 2 * * *", timezone: UTC}', schedule)
    (found,) = deployments.read(write_file(tmp_path, text))
    now = datetime(2026, 11, 26, 1, 0, tzinfo=UTC)
    assert found.words == words
    due = found.next_run(now)
    assert due is not None and due >= now
    assert standing.due(found, now).startswith("next ")


def test_a_disabled_schedule_is_not_due(tmp_path: Path):
    text = GOOD.replace("timezone: UTC", "timezone: UTC, active: false")
    (found,) = deployments.read(write_file(tmp_path, text))
    assert (found.words, standing.due(found)) == ("daily at 02:00 UTC", "switched off")
    (paused,) = deployments.read(write_file(tmp_path, GOOD + "    paused: true\n"))
    assert paused.is_off
    (by_hand,) = deployments.read(write_file(tmp_path, GOOD.partition("    schedules")[0]))
    assert (by_hand.words, standing.due(by_hand)) == ("by hand", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- name", "- [name", "line 4 is not YAML"),
        ("deployments", "deployment", "no list `deployments`"),
        ("- name: one", "- title: one", "deployment 1 has no name"),
        ("rnnlm", "pool", "'one' goes to work pool 'pool' (expected 'rnnlm')"),
        ("flow.py:", "gone.py:", "entrypoint 'gone.py:flow' (expected path.py:flow"),
        (":flow", ":walk", "flow.py has no flow 'walk'"),
        ("config:", "confg:", "flow takes no parameter 'confg' (it takes: config, trigger)"),
        ("0 2 * * *", "0 25 * * *", "cron '0 25 * * *' is not a schedule (expected, for"),
        ("timezone: UTC", "timezone: Mars/Base", "timezone 'Mars/Base' is unknown"),
        ('cron: "0 2 * * *"', "interval: -5", "interval -5 is not a schedule"),
        ('cron: "0 2 * * *"', "interval: soon", "interval 'soon' is not a schedule"),
        ('cron: "0 2 * * *"', "interval: 5, cron: x", "one of cron, interval or rrule"),
        ('cron: "0 2 * * *"', "interval: 5, anchor_date: once", "anchor_date 'once' is not a"),
        ('cron: "0 2 * * *"', "rrule: daily", "rrule 'daily' is not a schedule"),
    ],
)
def test_a_fault_in_the_file_is_a_one_line_error_before_anything_starts(
    tmp_path: Path, old: str, new: str, message: str
):
    write_file(tmp_path, GOOD.replace(old, new))
    finished = call_cli(tmp_path, "serve")
    assert finished.status == 1
    assert finished.err.startswith("error: prefect.yaml")
    assert finished.err.count("\n") == 1
    assert message in finished.err
    assert not (tmp_path / "mlruns").exists()


def test_two_deployments_of_one_name_are_refused(tmp_path: Path):
    text = GOOD + GOOD.partition("deployments:")[2]
    with pytest.raises(ServerError, match="2 deployments are named 'one'"):
        deployments.read(write_file(tmp_path, text))


def test_a_port_in_use_is_refused_only_if_it_was_requested(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = call_cli(tmp_path, "serve", "--mlflow-port", str(port))
        assert finished.status == 1
        assert f"--mlflow-port {port} on 127.0.0.1: address already in use" in finished.err
        assert processes.choose_port("127.0.0.1", None, port, "") != port
    assert processes.choose_port("127.0.0.1", None, port, "") == port
    with pytest.raises(ServerError, match=r"no port is free on 192\.0\.2\.1"):
        processes.choose_port("192.0.2.1", None, port, "")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (stores.PREFECT_SETTING, "postgresql+asyncpg://me:secret@127.0.0.1:1/prefect", "//…@"),
        (stores.MLFLOW_SETTING, "postgresql+psycopg://me:secret@127.0.0.1:1/mlflow", "//…@"),
        (stores.MLFLOW_SETTING, "postgresql://me:secret@nowhere.invalid/mlflow", "nowhere"),
        ("PREFECT_API_URL", "http://127.0.0.1:1/api", "no Prefect server answers there"),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:1", "no MLflow server answers there"),
    ],
)
def test_an_unreachable_server_or_database_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, message: str
):
    monkeypatch.setenv(setting, value)
    if setting == stores.PREFECT_SETTING:  # Prefect has read its settings already
        with pytest.raises(ServerError, match=message) as raised:
            stores.check_database(value, setting)
        assert "does not answer" in str(raised.value) and "secret" not in str(raised.value)
        return
    finished = call_cli(tmp_path, "serve")
    assert finished.status == 1
    assert message in finished.err and finished.err.count("\n") == 1
    assert "secret" not in finished.err


def test_a_port_for_a_server_that_is_not_started_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    finished = call_cli(tmp_path, "serve", "--prefect-port", "4999")
    assert "--prefect-port 4999 while PREFECT_API_URL=http://127.0.0.1:1/api" in finished.err


def test_a_home_is_not_served_twice(tmp_path: Path):
    with (
        standing._alone(home.Home(tmp_path)),
        pytest.raises(ServerError, match="another `rnnlm serve`"),
        standing._alone(home.Home(tmp_path)),
    ):
        pass


def test_responds_returns_whether_a_server_answers():
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert processes.responds(address)
        server.shutdown()
    assert not processes.responds(address)


def test_processes_of_a_command_end_with_it_even_in_another_session():
    script = "setsid sleep 60 & exec sleep 60"
    with processes.guarding() as mark:
        command = processes.Command("sleeper", ["sh", "-c", script], Path(os.devnull), {})
        process = processes.Process(command)
        marked = lambda values: values.get(processes.MARK) == mark  # noqa: E731
        wait_until(lambda: len(processes.find(marked)) == 2, "two sleepers", 5)
    assert processes.find(marked) == []
    assert not process.is_running


SHIPPED = deployments.read(ROOT / "prefect.yaml")


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.name)
def test_a_shipped_deployment_matches_its_flow(shipped: deployments.Deployment):
    import yaml

    entries = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (entry,) = [entry for entry in entries if entry["name"] == shipped.name]
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / shipped.entrypoint))
    flow.validate_parameters(entry["parameters"])
    config = entry["parameters"].get("config")
    assert config is None or (ROOT / config).is_file()
    assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.soak
def test_the_error_for_a_store_of_another_mlflow_names_the_upgrade_command(tmp_path: Path):
    here = home.Home(tmp_path)
    stores.prepare_mlflow(here, stores.mlflow_store(here))
    with sqlite3.connect(here.mlruns / "mlflow.db") as connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
    connection.close()
    with pytest.raises(ServerError, match=r"another version of MLflow.*`mlflow db upgrade sqlite"):
        stores.prepare_mlflow(here, stores.mlflow_store(here))


# Servers on PostgreSQL, as in docker/compose.yaml.


def runs_of(served: Served, deployment: str) -> list[FlowRun]:
    """Return the runs of a deployment that have begun, oldest first."""
    found = served.client.read_deployment_by_name(f"retrain/{deployment}")
    runs = served.client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    )
    begun = [run for run in runs if run.start_time is not None]
    return sorted(begun, key=lambda run: run.start_time)


@pytest.mark.service
@pytest.mark.slow
def test_a_scheduled_run_makes_a_champion(served: Served):
    def completed() -> list[FlowRun]:
        return [run for run in runs_of(served, "tiny") if run.state and run.state.is_completed()]

    wait_until(completed, "a completed run")
    deployment = served.client.read_deployment_by_name("retrain/tiny")
    served.client.pause_deployment(deployment.id)
    assert deployment.global_concurrency_limit.limit == 1
    client = MlflowClient(served.addresses["mlflow"])
    version = client.get_model_version_by_alias("tiny", "champion")
    run = client.get_run(version.run_id)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert UUID(run.data.tags["prefect.flow_run_id"]) in {run.id for run in runs_of(served, "tiny")}
    (model,) = served.home.glob("data/models/tiny/*/model.safetensors")
    mlflow.set_tracking_uri(served.addresses["mlflow"])
    try:
        fetched = mlflow.artifacts.download_artifacts("models:/tiny@champion")
    finally:
        mlflow.set_tracking_uri(None)
    (packaged,) = Path(fetched).glob("artifacts/*.safetensors")
    assert packaged.read_bytes() == model.read_bytes()
    assert not (served.home / "mlruns" / "mlflow.db").exists()


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.soak
def test_a_run_that_is_killed_with_its_worker_resumes_where_it_stopped(served: Served):
    deployment = served.client.read_deployment_by_name("retrain/slow")
    first = served.client.create_flow_run_from_deployment(deployment.id)
    models = served.home / "data" / "models" / "slow"
    (saved,) = wait_until(lambda: [*models.glob("*/last.safetensors")], "one in mid-training")
    folder = saved.parent
    started = served.serving.processes()
    workers = [p for p in started if "worker" in p.cmdline() and "start" in p.cmdline()]
    runs = [p for p in started if environment(p).get("PREFECT__FLOW_RUN_ID") == str(first.id)]
    assert workers and runs
    for process in (*workers, *runs):
        process.kill()
    before = read_history(str(folder))
    assert before and not (folder / "model.safetensors").exists()

    wait_until(lambda: runs_ended(served, first.id), "the run ended")
    assert any("worker ended: killed by signal 9" in line for line in served.serving.said)
    assert any("was lost: its process has ended; it resumes" in x for x in served.serving.said)
    found = served.client.read_flow_run(first.id)
    assert found.state and found.state.is_completed(), found.state
    assert found.run_count == 2
    after = read_history(str(folder))
    kept = [
        row for row in before if row in after
    ]  # rows hold seconds, which a new row would not repeat
    assert kept and kept == after[: len(kept)] and len(after) > len(before)
    client = MlflowClient(served.addresses["mlflow"])
    experiment = client.get_experiment_by_name("slow")
    (run,) = client.search_runs([experiment.experiment_id])
    names = [name for name in run.data.metrics if name.startswith("validation")]
    steps = [point.step for point in client.get_metric_history(run.info.run_id, names[0])]
    assert steps == sorted(set(steps))
    assert client.get_model_version_by_alias("slow", "champion").run_id == run.info.run_id


def runs_ended(served: Served, run_id: UUID) -> bool:
    state = served.client.read_flow_run(run_id).state
    return bool(state and state.is_final())


@pytest.mark.service
@pytest.mark.slow
def test_a_server_that_dies_is_restarted(served: Served):
    address = served.addresses["mlflow"] + "/health"
    for process in served.serving.processes():
        if "mlflow" in process.cmdline() and "server" in process.cmdline():
            process.kill()
    wait_until(
        lambda: any(
            re.search(r"mlflow ended: killed by signal 9.*again in", s) for s in served.serving.said
        ),
        "the restart is reported",
    )
    time.sleep(1)
    wait_until(lambda: processes.responds(address), "MLflow answers again")


@pytest.mark.service
@pytest.mark.slow
def test_the_same_failure_is_notified_once(served: Served, messages: list[dict]):
    deployment = served.client.read_deployment_by_name("retrain/slow")

    def fail(message: str) -> None:
        failed: State[Any] = Failed(message=message)
        run = served.client.create_flow_run_from_deployment(deployment.id, state=failed)
        served.client.set_flow_run_state(run.id, failed, force=True)
        with temporary_settings(updates={PREFECT_API_URL: served.addresses["prefect_api_url"]}):
            notifying.of_failure(None, served.client.read_flow_run(run.id), failed)
        time.sleep(0.1)

    for message in ("no file", "no file", "an empty file", "no file"):
        fail(message)
    assert [one["message"] for one in messages] == ["no file", "an empty file", "no file"]


@pytest.mark.service
@pytest.mark.slow
def test_deployments_that_were_removed_from_the_file_are_listed(served: Served):
    api = served.addresses["prefect_api_url"]
    wanted = deployments.read(served.home / "prefect.yaml")
    assert deployments.forgotten(api, wanted) == []
    assert deployments.forgotten(api, wanted[:1]) == ["retrain/slow"]


@pytest.mark.service
@pytest.mark.slow
def test_no_password_is_in_an_address_a_log_or_a_command_line(served: Served):
    pages = Running(
        served.home,
        "ui",
        "--json",
        MLFLOW_TRACKING_URI=served.addresses["mlflow"].replace("//", f"//rnnlm:{PASSWORD}@"),
        PREFECT_API_URL=served.addresses["prefect_api_url"],
        RNNLM_PASSWORD_FILE=str(served.home / "password"),
    )
    with pages.ending():
        line = pages.first_line()
    assert json.loads(line)["flow runs"].startswith(served.addresses["prefect"])
    shown = {"ui": line, "serve": "".join(served.serving.said) + json.dumps(served.addresses)}
    for log in served.home.glob("data/logs/*"):
        shown[log.name] = log.read_text("utf-8", "replace")
    for process in served.serving.processes():
        shown[str(process.pid)] = " ".join(process.cmdline())
    for place, text in shown.items():
        assert PASSWORD not in text and DATABASE_PASSWORD not in text, place


# Servers without any setup.


@pytest.mark.service
@pytest.mark.slow
def test_serve_with_embedded_databases_shows_addresses_and_leaves_no_process(tmp_path: Path):
    write_file(tmp_path)
    (tmp_path / "flow.py").write_text(f"from prefect import flow\n\n\n@flow\n{FLOW}\n")
    serving = Running(tmp_path, "serve")
    shown = [serving.first_line()]
    while "Ctrl-C" not in shown[-1]:
        shown.append(serving.first_line())
    text = "".join(shown)
    (prefect,) = re.findall(r"^  prefect +(http://127.0.0.1:\d+)$", text, re.MULTILINE)
    (mlflow_page,) = re.findall(r"^  mlflow +(http://127.0.0.1:\d+)$", text, re.MULTILINE)
    assert processes.responds(f"{prefect}/api/health") and processes.responds(mlflow_page)
    assert re.search(r"^  one   daily at 02:00 UTC   next .*\d\d:\d\d$", text, re.MULTILINE)
    assert f"export PREFECT_API_URL={prefect}/api" in text
    refused = call_cli(tmp_path, "serve")
    assert "another `rnnlm serve` serves" in refused.err
    assert len(serving.processes()) >= 4
    serving.end(signal.SIGTERM)
    assert serving.process.returncode == 0
    assert serving.processes() == []
    assert (tmp_path / "data" / "prefect" / "prefect.db").is_file()
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
