"""The commands that the storm runs, and the homes in which they run."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import write_tiny
from tests.storm.cases import Command
from tests.storm.injecting import run

_REGISTRY = ("version", "alias", "runs", "packaged", "reason")
_AGE_SECONDS = 60 * 86_400

TRAIN = Command("train", ("train", "tiny.toml", "--json"), "new", ("file", "printed", *_REGISTRY))
TRAIN_AGAIN = Command("train", TRAIN.words, "trained", TRAIN.owns)
GENERATE = Command(
    "generate",
    ("generate", "tiny/1", "--count", "120", "--out", "data/texts", "--json"),
    "trained",
    ("file data/texts/", "printed", *_REGISTRY),
)
GENERATE_WITH_WORKERS = Command(
    "generate", (*GENERATE.words, "--workers", "2"), "trained", GENERATE.owns
)
PROMOTE = Command(
    "promote", ("promote", "tiny", "1", "--why", "storm", "--json"), "two versions",
    ("printed", *_REGISTRY),
)  # fmt: skip
HOUSEKEEPING = Command(
    "housekeeping",
    ("housekeeping", "--apply", "--keep-days", "1", "--keep-versions", "1", "--json"),
    "old",
    ("file", *_REGISTRY),
)
SWEEP = Command(
    "sweep",
    ("sweep", "tiny.toml", "--over", "model.hidden_size=8,12", "--trials", "2", "--json"),
    "new",
    ("file", "printed", *_REGISTRY),
)
SERVE = Command(
    "serve",
    ("serve",),
    "trained",
    _REGISTRY,
    ready="press Ctrl-C to stop",
)


def prepare(name: str, folder: Path, shim: Path) -> Path:
    """Make a home in a folder, unless it has been made; return its path.

    Args:
        name: Name of the home: `new`, `trained`, `two versions` or `old`.
        folder: Folder that holds all prepared homes.
        shim: See `injecting.run`.
    """
    home = folder / name.replace(" ", "-")
    if not home.exists():
        _MAKERS[name](home, folder, shim)
    return home


def copy(home: Path, to: Path) -> None:
    """Copy a home, with the paths in its databases changed; an existing copy is replaced."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(home), str(to)], check=True)
    for database in (to / "mlruns").rglob("*.db"):
        _rename(database, home, to)


def _rename(database: Path, home: Path, to: Path) -> None:
    """Change the paths in a database, and keep its modification time."""
    status = database.stat()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table, column in _texts(connection):
            connection.execute(
                f'update "{table}" set "{column}" = replace("{column}", ?, ?) '
                f'where "{column}" like ?',
                (f"{home}/", f"{to}/", f"%{home}/%"),
            )
        connection.commit()
    os.utime(database, ns=(status.st_atime_ns, status.st_mtime_ns))


def _new(home: Path, folder: Path, shim: Path) -> None:
    home.mkdir(parents=True)
    write_tiny(home)


def _trained(home: Path, folder: Path, shim: Path) -> None:
    _after("new", home, folder, shim, TRAIN)


def _two_versions(home: Path, folder: Path, shim: Path) -> None:
    again = ("train", "tiny.toml", "--set", "training.seed=2", "--json")
    _after("trained", home, folder, shim, Command("train", again, "trained", ()))


def _old(home: Path, folder: Path, shim: Path) -> None:
    """Make a home with three old versions, some of which housekeeping removes."""
    words = ("train", "tiny.toml", "--set", "training.seed=3", "--json")
    _after("two versions", home, folder, shim, Command("train", words, "", ()))
    for path in [home, *home.rglob("*")]:
        status = path.lstat()
        os.utime(path, (status.st_atime, status.st_mtime - _AGE_SECONDS), follow_symlinks=False)
    with contextlib.closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as connection:
        for table, columns in {
            "runs": ("start_time", "end_time"),
            "model_versions": ("creation_time", "last_updated_time"),
            "logged_models": ("creation_timestamp_ms", "last_updated_timestamp_ms"),
            "metrics": ("timestamp",),
            "latest_metrics": ("timestamp",),
        }.items():
            for column in columns:
                connection.execute(
                    f"update {table} set {column} = {column} - {_AGE_SECONDS * 1000}"
                )
        connection.commit()


_MAKERS: dict[str, Callable[[Path, Path, Path], None]] = {
    "new": _new,
    "trained": _trained,
    "two versions": _two_versions,
    "old": _old,
}


def _after(before: str, home: Path, folder: Path, shim: Path, command: Command) -> None:
    making = home.with_suffix(".making")
    copy(prepare(before, folder, shim), making)
    done = run(command, making, shim)
    if done.status != 0:
        raise RuntimeError(f"rnnlm {' '.join(command.words)}: {done.err}")
    copy(making, home)
    shutil.rmtree(making)


def _texts(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in connection.execute(
        "select name from sqlite_master where type = 'table'")]  # fmt: skip
    return [
        (table, row[1])
        for table in tables
        for row in connection.execute(f'pragma table_info("{table}")')
        if "CHAR" in row[2] or row[2] == "TEXT"
    ]
