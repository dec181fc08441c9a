"""Check that the databases of the servers answer, and create MLflow's database tables.

`python -m flows.servers.stores` reads the address of an MLflow database from standard input and
creates the tables in it, or prints in one line why it cannot. This is done in a separate process so
that `rnnlm serve`, which may run for months, does not keep MLflow in memory.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from flows.runtime import backups, locks
from flows.runtime.addresses import is_http, reason, redact, without_passwords
from flows.runtime.home import Home, make_private
from rnnlm.errors import ServerError

PREFECT_SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
MLFLOW_SETTING = "MLFLOW_BACKEND_STORE_URI"
ANSWER_SECONDS = 10.0


def mlflow_store(home: Home) -> str:
    """Return the address of the database that an MLflow server of this home uses.

    It is the first of these that is set: `MLFLOW_BACKEND_STORE_URI`; `MLFLOW_TRACKING_URI`, if it
    names a database; a SQLite file in the home.
    """
    named = os.environ.get(MLFLOW_SETTING) or os.environ.get("MLFLOW_TRACKING_URI")
    if named and not is_http(named):
        return named
    return f"sqlite:///{(home.mlruns / 'mlflow.db').resolve()}"


def check_database(url: str, setting: str) -> None:
    """Check that a PostgreSQL database answers; databases of other kinds are not checked.

    Args:
        url: Address of the database.
        setting: The environment variable that sets the address, for the error message.

    Raises:
        ServerError: The database does not answer.
    """
    if not url.startswith(("postgresql", "postgres:")):
        return
    import asyncpg  # noqa: PLC0415 - needed only for PostgreSQL

    scheme, _, rest = url.partition("://")

    async def knock() -> None:
        connection = await asyncpg.connect(
            f"{scheme.partition('+')[0]}://{rest}", timeout=ANSWER_SECONDS
        )
        await connection.close()

    try:
        asyncio.run(knock())
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        why = reason(error) or f"no answer in {ANSWER_SECONDS:.0f} s"
        raise ServerError(
            f"{setting}={redact(url)}: the database does not answer ({why[:200]}); "
            "start it, or correct the setting"
        ) from error


def prepare_mlflow(home: Home, store: str) -> None:
    """Create the tables in an MLflow database if they are missing.

    Args:
        home: Home that the database belongs to; a lock in it keeps two processes from creating the
            tables at the same time.
        store: Address of the database.

    Raises:
        ServerError: The tables belong to another version of MLflow, or the database cannot be
            opened.
        StorageError: The database is a damaged SQLite file.
    """
    if not store.startswith("sqlite:") or "+" in store.partition(":")[0]:
        check_database(store, MLFLOW_SETTING)
    elif store == home.tracking_uri and (file := backups.database(home)):
        backups.check(file)
    make_private(home.mlruns)
    here = str(Path(__file__).parent.parent.parent)
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    with FileLock(locks.mlflow_tables(home.mlruns)):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "flows.servers.stores"],
            check=False,
            input=store,  # not an argument: it may hold a password
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        why = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["no message"]
        raise ServerError(f"{MLFLOW_SETTING}={redact(store)}: {without_passwords(why[-1])}")


def _prepare(store: str) -> str | None:
    """Create the tables in an MLflow database; return an error message, or None on success."""
    import logging  # noqa: PLC0415

    from flows.tracking.connecting import open_store  # noqa: PLC0415 - slow to import

    logging.disable(logging.WARNING)
    try:
        open_store(store)
    except ModuleNotFoundError as error:
        return (
            f"package {error.name} is missing; run pip install '.[postgres]' in the project's "
            "folder"
        )
    except Exception as error:  # noqa: BLE001 - any error becomes one line
        return " ".join(str(error).split())[:300]
    return None


if __name__ == "__main__":
    fault = _prepare(sys.stdin.read())
    if fault:
        sys.stdout.write(fault + "\n")
    sys.exit(1 if fault else 0)
