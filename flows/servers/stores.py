"""Check that the stores of the servers answer, and create MLflow's database tables.

A SQLite file is checked at once. For other databases and for artifact stores, `python -m
flows.servers.stores` reads the addresses of an MLflow database and of its artifact store
from standard input, a line each. It creates the tables, lists the artifact store, and prints in one
line why it cannot. This is done in a separate process so that `rnnlm serve`, which may run for
months, does not keep MLflow in memory.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from flows.runtime import backups, locks, tables
from flows.runtime.addresses import is_http, reason, redact, without_passwords
from flows.runtime.home import Home, make_private
from rnnlm.errors import ServerError

PREFECT_SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
MLFLOW_SETTING = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS_SETTING = "MLFLOW_ARTIFACTS_DESTINATION"
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
    """Create the tables in an MLflow database if they are missing, and try its artifact store.

    Args:
        home: Home that the database belongs to; a lock in it keeps two processes from creating the
            tables at the same time.
        store: Address of the database.

    Raises:
        ServerError: The tables belong to another version of MLflow, the database cannot be opened,
            or the artifact store cannot be read.
        StorageError: The database is a damaged SQLite file.
    """
    if not store.startswith("sqlite:") or "+" in store.partition(":")[0]:
        check_database(store, MLFLOW_SETTING)
    elif store == home.tracking_uri and (file := backups.database(home)):
        backups.check(file)
    make_private(home.mlruns)
    here = str(Path(__file__).parent.parent.parent)
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    destination = os.environ.get(ARTIFACTS_SETTING, "")
    with FileLock(locks.mlflow_tables(home.mlruns)):
        if not destination and _is_ready(store):
            return
        done = subprocess.run(
            [sys.executable, "-P", "-m", "flows.servers.stores"],
            check=False,
            input=f"{store}\n{destination}",  # not arguments: they may hold a password
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        why = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["no message"]
        setting, address = MLFLOW_SETTING, store
        if why[-1].startswith(ARTIFACTS_SETTING):
            setting, address = ARTIFACTS_SETTING, destination
        fault = without_passwords(why[-1].removeprefix(f"{ARTIFACTS_SETTING}: "))
        raise ServerError(f"{setting}={redact(address)}: {fault}")


def _is_ready(store: str) -> bool:
    """Create the tables if a SQLite file is missing; return whether they are known to be usable.

    This needs no import of MLflow, which would delay `rnnlm serve` by some seconds.
    """
    database = Path(store.removeprefix("sqlite:///"))
    if not (database.is_absolute() and database.parent.is_dir()):
        return False
    return tables.create(database, "mlflow") or tables.is_current(database, "mlflow")


def _prepare(store: str, destination: str) -> str | None:
    """Create the tables, and list the artifact store if one is set.

    Returns:
        An error message, which begins with `ARTIFACTS_SETTING` if it is about the artifact store;
        None on success.
    """
    import logging  # noqa: PLC0415

    from flows.tracking.connecting import open_store  # noqa: PLC0415 - slow to import

    logging.disable(logging.WARNING)
    if fault := _fault(lambda: open_store(store), "postgres"):
        return fault
    if not destination:
        return None
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
        get_artifact_repository,
    )

    fault = _fault(lambda: get_artifact_repository(destination).list_artifacts(), "s3")
    return f"{ARTIFACTS_SETTING}: {fault}" if fault else None


def _fault(work: Callable[[], object], extra: str) -> str | None:
    """Return in one line why some work fails, or None.

    Args:
        work: The work.
        extra: The extra of this project that holds the packages that the work may need.
    """
    try:
        work()
    except ModuleNotFoundError as error:
        package = error.name
        return f"package {package} is missing; run pip install '.[{extra}]' in the project's folder"
    except Exception as error:  # noqa: BLE001 - any error becomes one line
        return " ".join(str(error).split())[:300]
    return None


if __name__ == "__main__":
    fault = _prepare(*sys.stdin.read().split("\n"))
    if fault:
        sys.stdout.write(fault + "\n")
    sys.exit(1 if fault else 0)
