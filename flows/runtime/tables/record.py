"""`python -m flows.runtime.tables.record`: record the tables of the installed versions.

Run it after Prefect or MLflow was updated; it replaces the recordings of earlier versions.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from flows.runtime.tables import recording


def migrate_prefect(database: Path) -> None:
    """Create Prefect's tables by its own migrations.

    Call this in a process of its own: Prefect reads the address of the database once.
    """
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    from prefect.server.database import provide_database_interface  # noqa: PLC0415

    asyncio.run(provide_database_interface().create_db())


def migrate_mlflow(database: Path) -> None:
    """Create MLflow's tables by its own migrations."""
    from mlflow.store.db import utils  # noqa: PLC0415 - slow to import

    utils._initialize_tables(utils.create_sqlalchemy_engine(f"sqlite:///{database}"))


def migrated(package: str) -> str:
    """Return the SQL of the tables that the migrations of a package create."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "new.db")
        code = (
            "from pathlib import Path\n"
            "from flows.runtime.tables import record\n"
            f"record.migrate_{package}(Path({str(database)!r}))"
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        env = {**kept, "PREFECT_HOME": folder, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=folder)
        with closing(sqlite3.connect(database)) as connection:
            return "".join(f"{line}\n" for line in connection.iterdump())


def main() -> None:
    """Write both recordings."""
    for package in ("prefect", "mlflow"):
        path = recording(package)
        for earlier in path.parent.glob(f"{package}-*.sql"):
            earlier.unlink()
        path.write_text(migrated(package), "utf-8")
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
