"""The home: the folder that holds everything that the program writes."""

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flows.runtime.addresses import redact
from rnnlm.errors import ConfigError, StorageError
from rnnlm.storage import is_address, write_json

OWN = "rnnlm"
"""Name of this project's work pool, and tag of its flow runs, on a shared Prefect server."""
FORMAT = 1
"""Number of the format in which this version writes a home. A home without a format file has
format 0, which this version reads as well: steps whose version has changed run again, and
everything else is used as it is."""
FORMAT_FILE = "format.json"
PROJECT_FILE = "rnnlm.toml"
"""File that marks a folder as a project; `rnnlm init` writes it."""
VARIABLE = "RNNLM_HOME"


@dataclass(frozen=True)
class Home:
    """The folder that holds `data/` and `mlruns/`.

    Attributes:
        root: Path of the folder; see `named`.
    """

    root: Path

    @property
    def data(self) -> Path:
        """Folder of corpora, tokens, models, scores and generated texts."""
        return self.root / "data"

    @property
    def mlruns(self) -> Path:
        """Folder of MLflow's database and artifacts."""
        return self.root / "mlruns"

    @property
    def sources(self) -> Path:
        """Folder of fetched source files, for the corpora that the catalog names."""
        return self.data / "sources"

    @property
    def fetched(self) -> Path:
        """Folder of checkpoints that were fetched from an artifact store on another machine."""
        return self.data / "fetched"

    @property
    def packed(self) -> Path:
        """Folder of packed models, from which texts are sampled; see `rnnlm.engine.packed`."""
        return self.data / "packed"

    @property
    def prefect(self) -> Path:
        """Folder of Prefect's database, settings and logs."""
        return self.data / "prefect"

    @property
    def tracking_uri(self) -> str:
        """Address of MLflow's store: `MLFLOW_TRACKING_URI`, or a SQLite database in this home."""
        local = f"sqlite:///{(self.mlruns / 'mlflow.db').resolve()}"
        return os.environ.get("MLFLOW_TRACKING_URI") or local


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter.

    Databases that are already in the folder become readable and writable only for their owner.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path, mode in [(folder, 0o700), *((file, 0o600) for file in folder.glob("*.db*"))]:
        with contextlib.suppress(OSError):  # another user's file, or one that was just deleted
            path.chmod(mode)


def named() -> Home:
    """Return the home, as `current` does, without checking its format.

    Raises:
        ConfigError: `RNNLM_HOME` is an address.
    """
    path = os.environ.get(VARIABLE)
    if path and is_address(path):
        raise ConfigError(
            f"{VARIABLE}={redact(path)[:80]} (expected a folder on a file system, which locks and "
            "SQLite need); set it to a folder, and give an address to `rnnlm generate --out`"
        )
    return Home(Path(path).resolve() if path else project_above() or Path())


def current() -> Home:
    """Return the home.

    It is the folder that `RNNLM_HOME` names; or else the nearest project, looking from the current
    directory upward, as git does; or else the current directory. The path is absolute, but that of
    the current directory is `.`.

    Raises:
        ConfigError: `RNNLM_HOME` is an address.
        StorageError: A later version of the program wrote the home, or its format is unreadable.
    """
    home = named()
    _check_format(home, home.root.resolve())
    return home


def project_above() -> Path | None:
    """Return the nearest project above the current directory, or None.

    None if the current directory is a project itself. A folder that belongs to another user is not
    used unasked: the program would run the schedules in it.
    """
    here = Path.cwd()
    if is_project(here):
        return None
    for folder in here.parents:
        with contextlib.suppress(OSError):
            if is_project(folder) and folder.stat().st_uid == os.geteuid():
                return folder
    return None


def is_project(folder: Path) -> bool:
    """Return whether a folder is a project: it has a project file, or has been used as a home."""
    if (folder / PROJECT_FILE).is_file():
        return True
    home = Home(folder)
    return (home.data / FORMAT_FILE).is_file() and home.mlruns.is_dir()


def state_format(home: Home) -> None:
    """Write the format of a home that has been used into its format file, if it has none."""
    path = home.data / FORMAT_FILE
    if home.data.is_dir() and home.mlruns.is_dir() and not path.exists():
        with contextlib.suppress(StorageError):  # a read-only home
            write_json(path, {"format": FORMAT})


@lru_cache(maxsize=16)
def _check_format(home: Home, _place: Path) -> None:
    """Check the format of a home, once per process and folder.

    If the home has been used but has no format file, write one; see `state_format`.

    Raises:
        StorageError: The format is unreadable, or later than this version's.
    """
    path = home.data / FORMAT_FILE
    try:
        found = json.loads(path.read_text("utf-8"))["format"]
    except FileNotFoundError:
        state_format(home)
        return
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or found < 0:
        raise StorageError(
            f"{path} does not state the format of this home (expected "
            f'{{"format": {FORMAT}}}); `rnnlm doctor --repair` restores it'
        )
    if found > FORMAT:
        raise StorageError(
            f"the home {home.root} has format {found}, which a later version wrote (expected "
            f"{FORMAT} or lower); update rnnlm, or point RNNLM_HOME at another home"
        )
