"""Empty MLflow and Prefect stores, made once for all runs: creating tables takes ten seconds."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from flows.runtime.home import Home

MAKE = """
from flows.runtime.home import current
from flows.servers.embedded import serve
from flows.tracking import connect
with serve(current()) as server:
    connect(current())
    server.wait()
"""
_shared: list[Path] = []


def share(folder: Path) -> None:
    """Set the folder in which the empty stores are kept."""
    _shared[:] = [folder]


def give_empty_stores(root: Path) -> None:
    """Copy the empty stores into a new home, so that its first command need not create them."""
    made = Home(_shared[0])
    with FileLock(made.root.with_suffix(".lock")):
        if not made.root.exists():
            _make(made)
    for store in (made.mlruns / "mlflow.db", made.prefect / "prefect.db"):
        copy = root / store.relative_to(made.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(store, copy)


def _make(made: Home) -> None:
    """Create the stores in a subprocess; put them in place only once both are complete."""
    new = Home(made.root.with_suffix(".new"))
    shutil.rmtree(new.root, ignore_errors=True)  # of a run that was killed
    new.root.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    paths = {"RNNLM_HOME": str(new.root), "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", MAKE], env=kept | paths, cwd=new.root, check=True)
    for database in (new.mlruns / "mlflow.db", new.prefect / "prefect.db"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
    new.root.rename(made.root)
