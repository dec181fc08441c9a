"""The paths of all lock files that processes use to keep out of each other's way.

Each function returns the path of one lock file, named after what the lock protects.
"""

from pathlib import Path

from flows.runtime.home import Home


def registering(home: Home) -> Path:
    """Return the lock for registering a version, and for logging a generated data set.

    Without it, two runs that make the same checkpoint might both register it.
    """
    return home.mlruns / ".register.lock"


def aliases(home: Home) -> Path:
    """Return the lock for moving aliases and for removing versions."""
    return home.mlruns / ".registry.lock"


def mlflow_tables(mlruns: Path) -> Path:
    """Return the lock for creating MLflow's database tables.

    Two processes that create them at the same time corrupt the database.
    """
    return mlruns / ".mlflow.lock"


def prefect_start(home: Home) -> Path:
    """Return the lock for starting a Prefect server on the home's Prefect database."""
    return home.prefect / ".starting.lock"


def serving(home: Home) -> Path:
    """Return the lock that `rnnlm serve` holds while it runs."""
    return home.prefect / ".serving.lock"


def worker(home: Home, name: str) -> Path:
    """Return the lock that the command holds that runs the worker of this name."""
    return home.prefect / f".{name}.lock"


def runs(home: Home) -> Path:
    """Return the folder of the locks that the processes of flow runs hold."""
    return home.data / "runs"


def lost_runs(home: Home) -> Path:
    """Return the lock for looking for flow runs whose process has ended."""
    return home.data / ".lost-runs.lock"


def model(home: Home, name: str) -> Path:
    """Return the lock that runs share while they work on a model; see `flows.runtime.model_locks`.

    It is in a folder of its own, as models may be called anything.
    """
    return home.data / "in-use" / f"{name}.lock"


def step(folder: Path) -> Path:
    """Return the lock for a step, given its folder; the lock file is next to the folder."""
    return folder.with_name(f".{folder.name}.lock")


def study(folder: Path) -> Path:
    """Return the lock for the study in the folder of a sweep: the database of its trials."""
    return folder / ".lock"
