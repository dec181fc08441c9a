"""Test that housekeeping cleans up flow runs, databases, locks and logs."""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import filters
from prefect.client.schemas.actions import LogCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Running

from flows.cleanup import databases
from flows.cleanup.prefect_runs import FlowRuns
from flows.cleanup.removing import cut_log, remove
from flows.cleanup.rules import DAY_SECONDS, Rules, size_of
from flows.runtime.home import OWN, Home
from flows.servers import embedded
from tests.flows.cleanup.test_housekeeping import in_two_months, listed


@pytest.mark.slow
def test_dead_flow_runs_are_marked_crashed_and_old_ones_deleted_with_logs_and_artifacts(
    tmp_path: Path,
):
    home = Home(tmp_path)
    with embedded.serve(home) as server:
        assert server
        server.wait()
        with SyncPrefectClient(server.url, auth_string=server.credentials) as client:
            silent = start_flow_run(client, "retrain", "one")
            speaking = start_flow_run(client, "retrain", "two")
            foreign = start_flow_run(client, "generate", "three", tags=[])
            ended = start_flow_run(client, "generate", "four")
            client.create_work_pool(WorkPoolCreate(name=OWN, type="process"))
            served = start_flow_run(client, "retrain", "five", tags=[], work_pool_name=OWN)
            client.set_flow_run_state(ended, Completed(), force=True)
            for run in (silent, ended):
                line = LogCreate(
                    name="x", level=20, message="m", timestamp="2026-01-01", flow_run_id=run
                )
                client.create_logs([line])
                artifact = {"type": "markdown", "data": "x", "flow_run_id": str(run)}
                client.request("POST", "/artifacts/", json=artifact)
            now = time.time() + 60 * DAY_SECONDS
            line = {"name": "x", "level": 20, "message": "m", "flow_run_id": str(speaking)}
            later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 60))
            client.request("POST", "/logs/", json=[{**line, "timestamp": later}])

            runs = FlowRuns(client, Rules(30, 5, now), None)
            assert runs.busy_names() == {"two"}
            rows = {row.what: row.kind for row in runs.leftovers(set())}
            stale = dict.fromkeys((str(silent), str(served)), "stale flow run")
            assert rows == stale | {str(ended): "flow run"}
            held_back = {row.what for row in runs.leftovers({"one", "five"})}
            assert held_back == {str(ended)}
            assert runs.crash(str(silent))
            assert runs.delete(str(ended))
            runs.wait_for_logs([str(ended)])
            states = [client.read_flow_run(run).state for run in (silent, speaking, foreign)]
            types = [state.type for state in states if state]
            assert types == [StateType.CRASHED, StateType.RUNNING, StateType.RUNNING]
            assert states[0] is not None and "no sign of life" in str(states[0].message)
            of_ended = filters.LogFilterFlowRunId(any_=[ended])
            assert not client.read_logs(filters.LogFilter(flow_run_id=of_ended))
            of_run = filters.ArtifactFilterFlowRunId(any_=[ended])
            assert not client.read_artifacts(
                artifact_filter=filters.ArtifactFilter(flow_run_id=of_run)
            )
            young = FlowRuns(client, Rules(30, 5, time.time()), None)
            assert [*young.leftovers(set())] == []


def start_flow_run(
    client: SyncPrefectClient, flow: str, name: str, tags: Sequence[str] = (OWN,), **more: Any
) -> Any:
    flow_id = client.create_flow_from_name(flow)
    state = {"type": "PENDING", "name": "Pending"}
    body = {"flow_id": str(flow_id), "name": name, "state": state, "tags": [*tags], **more}
    run = client.request("POST", "/flow_runs/", json=body).json()["id"]
    client.set_flow_run_state(run, Running(), force=True)
    return client.read_flow_run(run).id


def test_free_space_of_a_database_is_released_unless_it_is_in_use(tmp_path: Path):
    home = Home(tmp_path)
    home.prefect.mkdir(parents=True)
    home.mlruns.mkdir()
    path = home.prefect / "prefect.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table t (x)")
        database.executemany("insert into t values (?)", [("x" * 1000,)] * 5000)
        database.commit()
        assert [*databases.slack(home)] == []
        database.execute("delete from t")
        database.commit()
    (row,) = databases.slack(home)
    assert row.bytes > 4_000_000
    with FileLock(home.prefect / ".starting.lock"):
        assert databases.compact(home, path).note == "another process is using it"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("begin exclusive")
        assert "locked" in databases.compact(home, path).note
    compacted = databases.compact(home, path)
    assert compacted.note == ""
    assert compacted.after < 100_000 < 5_000_000 < compacted.before
    assert [*databases.slack(home)] == []


def test_old_partial_writes_locks_and_logs_are_removed(tmp_path: Path):
    home = Home(tmp_path)
    names = home.data / "models" / "tiny"
    names.mkdir(parents=True)
    (names / ".best.safetensors.0123abcd.tmp").write_bytes(b"x" * 100)
    (names / ".hidden").write_text("a person's")
    (names / ".0123456789abcdef.lock").touch()
    (home.data / "logs").mkdir()
    (home.data / "logs" / "mlflow.log").write_text("old")
    half = names / ".0123456789abcde0.going"
    half.mkdir()
    (half / "best.safetensors").write_bytes(b"x" * 50)
    found, rows = listed(home, Rules(30, 5, time.time() + 3600))
    assert [row.kind for row in rows] == ["half-removed"]
    found, rows = listed(home, in_two_months())
    assert sorted(row.kind for row in rows) == ["half-removed", "lock", "log", "temporary"]
    assert all(remove(found, row) for row in rows)
    assert [path.name for path in names.iterdir()] == [".hidden"]
    assert listed(home, in_two_months())[1] == []


def test_a_long_log_keeps_its_end(tmp_path: Path):
    home = Home(tmp_path)
    home.prefect.mkdir(parents=True)
    log = home.prefect / "server.log"
    log.write_bytes(b"a" * 11_000_000 + b"end")
    found, (row,) = listed(home, Rules(30, 5, time.time()))
    assert remove(found, row)
    assert log.stat().st_size == 1_000_000
    assert log.read_bytes().endswith(b"aend")
    cut_log(log, 3)
    assert log.read_bytes() == b"end"
    assert size_of(home.prefect) == 3
