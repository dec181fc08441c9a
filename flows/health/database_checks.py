"""Check the databases of a home: MLflow's, Prefect's, and the studies of sweeps."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flows.health.findings import Finding, problem
from flows.runtime import backups, sqlite_files
from flows.runtime.home import Home
from flows.sweeping.study import STUDY_FILE


def databases(home: Home) -> Iterator[Finding]:
    """Check every SQLite database of a home as a whole."""
    file = backups.database(home)
    if file is None:
        yield Finding("mlflow.db", "not used: MLFLOW_TRACKING_URI names a server")
    else:
        yield _of_mlflow(file)
    yield _of_prefect(home.prefect / "prefect.db")
    for study in sorted(home.data.glob(f"*/*/*/{STUDY_FILE}")):
        if fault := sqlite_files.fault_of(study, thorough=True):
            what = f"{study.relative_to(home.root)} is damaged: {fault}"
            yield problem("studies", what, partial(_put_aside, study, "the sweep starts over"))


def _of_mlflow(file: Path) -> Finding:
    known = backups.backups(file)
    if fault := backups.fault_of(file, thorough=True):
        return problem("mlflow.db", fault, partial(backups.restore, file))
    if not file.is_file():
        return Finding("mlflow.db", "none yet")
    kept = f"{len(known)} kept, newest of {backups.when(known[0])}" if known else "none yet"
    return Finding("mlflow.db", f"{_megabytes(file)}; backups: {kept}")


def _of_prefect(file: Path) -> Finding:
    if fault := sqlite_files.fault_of(file, thorough=True):
        what = "Prefect begins a new history; `rnnlm serve` schedules prefect.yaml again"
        return problem("prefect.db", fault, partial(_put_aside, file, what))
    return Finding("prefect.db", _megabytes(file) if file.is_file() else "none yet")


def _put_aside(file: Path, what: str) -> str:
    """Rename a database with its logs; return what was done and what it means."""
    aside = f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for end in ("", "-journal", "-wal", "-shm"):
        part = file.with_name(file.name + end)
        if part.exists():
            part.replace(file.with_name(aside + end))
    return f"put aside as {aside}; {what}"


def _megabytes(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
