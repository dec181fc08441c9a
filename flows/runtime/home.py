"""The home: the one folder that holds everything a run writes."""

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rnnlm.errors import StorageError
from rnnlm.storage import write_json

OWN = "rnnlm"
"""Name of our work pool, and tag of our flow runs, on a Prefect server shared with others."""
FORMAT = 1
"""Format of a home. Homes without a format file have format 0, which this version reads as well:
steps whose version has changed run again, everything else is the same."""
FORMAT_FILE = "format.json"


@dataclass(frozen=True)
class Home:
    """The folder that holds `data/` and `mlruns/`.

    Attributes:
        root: `RNNLM_HOME`, or the current directory.
    """

    root: Path

    @property
    def data(self) -> Path:
        """Corpora, tokens, models, scores and generated texts."""
        return self.root / "data"

    @property
    def mlruns(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlruns"

    @property
    def sources(self) -> Path:
        """Source files of catalog corpora, unchanged since they were fetched."""
        return self.data / "sources"

    @property
    def fetched(self) -> Path:
        """Checkpoints fetched from an artifact store on another machine."""
        return self.data / "fetched"

    @property
    def prefect(self) -> Path:
        """Prefect's database, settings and logs."""
        return self.data / "prefect"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow stores runs and versions: `MLFLOW_TRACKING_URI`, or SQLite in this home."""
        local = f"sqlite:///{(self.mlruns / 'mlflow.db').resolve()}"
        return os.environ.get("MLFLOW_TRACKING_URI") or local


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter, and make its databases owner-only as well."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, mode in [(folder, 0o700), *((file, 0o600) for file in folder.glob("*.db*"))]:
        with contextlib.suppress(OSError):  # not our file, or a journal just deleted
            path.chmod(mode)


def current() -> Home:
    """Return the home that the environment names; by default the current directory, as `.`.

    Raises:
        StorageError: A later version of the program wrote the home, or its format is unreadable.
    """
    named = os.environ.get("RNNLM_HOME")
    home = Home(Path(named).resolve() if named else Path())
    _check_format(home, home.root.resolve())
    return home


@lru_cache(maxsize=16)
def _check_format(home: Home, _place: Path) -> None:
    """Check a home's format, once per process and place; write the format file if it is missing."""
    path = home.data / FORMAT_FILE
    try:
        found = json.loads(path.read_text("utf-8"))["format"]
    except FileNotFoundError:
        if home.data.is_dir() and home.mlruns.is_dir():  # it has been used
            with contextlib.suppress(StorageError):  # a read-only home
                write_json(path, {"format": FORMAT})
        return
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or found < 0:
        raise StorageError(
            f"{path} does not state the format of this home (expected "
            f'{{"format": {FORMAT}}}); restore it from a backup, or remove it if the home is yours'
        )
    if found > FORMAT:
        raise StorageError(
            f"the home {home.root} has format {found}, which a later version wrote (expected "
            f"{FORMAT} or lower); update rnnlm, or point RNNLM_HOME at another home"
        )
