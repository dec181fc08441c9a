"""Paths of all lock files, by what each one protects."""

from pathlib import Path

from flows.runtime.home import Home


def registering(home: Home) -> Path:
    """Return the lock for adding a version, as two runs may make the same checkpoint."""
    return home.mlruns / ".register.lock"


def aliases(home: Home) -> Path:
    """Return the lock for moving aliases, and for removing versions."""
    return home.mlruns / ".registry.lock"


def mlflow_tables(mlruns: Path) -> Path:
    """Return the lock for MLflow's tables, which two processes creating them at once corrupt."""
    return mlruns / ".mlflow.lock"


def prefect_start(home: Home) -> Path:
    """Return the lock for starting Prefect's server on its database."""
    return home.prefect / ".starting.lock"


def serving(home: Home) -> Path:
    """Return the lock that `rnnlm serve` holds while it runs."""
    return home.prefect / ".serving.lock"


def step(folder: Path) -> Path:
    """Return the lock for a step's folder, which is named after its key."""
    return folder.with_name(f".{folder.name}.lock")


def study(folder: Path) -> Path:
    """Return the lock for a sweep's study."""
    return folder / ".lock"
