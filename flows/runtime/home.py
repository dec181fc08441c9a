"""Where state lives: everything that a run writes is under one folder."""

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rnnlm.errors import StorageError
from rnnlm.storage import write_json

OWN = "rnnlm"
"""What is ours on a Prefect server that others share: the work pool, and a tag of flow runs."""
FORMAT = 1
"""Format of a home. Homes without a format file are of format 0, which this version reads too:
steps whose version has changed are run again, everything else is the same."""
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
        """Files of catalog corpora, as they were fetched."""
        return self.data / "sources"

    @property
    def fetched(self) -> Path:
        """Checkpoints of versions that another machine holds, as they were fetched."""
        return self.data / "fetched"

    @property
    def prefect(self) -> Path:
        """Prefect's database, settings and logs."""
        return self.data / "prefect"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and versions: `MLFLOW_TRACKING_URI`, or SQLite here."""
        local = f"sqlite:///{(self.mlruns / 'mlflow.db').resolve()}"
        return os.environ.get("MLFLOW_TRACKING_URI") or local


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter; make the databases in it owner-only, too."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, mode in [(folder, 0o700), *((file, 0o600) for file in folder.glob("*.db*"))]:
        with contextlib.suppress(OSError):  # another user's, or a journal that is gone again
            path.chmod(mode)


def current() -> Home:
    """Return the home that the environment names, or the current directory, as `.`.

    Raises:
        StorageError: A later version of the program wrote it.
    """
    named = os.environ.get("RNNLM_HOME")
    home = Home(Path(named).resolve() if named else Path())
    _check_format(home, home.root.resolve())
    return home


@lru_cache(maxsize=16)
def _check_format(home: Home, _place: Path) -> None:
    """Read a home's format, once per process and place; note it where it is not noted yet."""
    path = home.data / FORMAT_FILE
    try:
        found = json.loads(path.read_text("utf-8"))["format"]
    except FileNotFoundError:
        if home.data.is_dir() and home.mlruns.is_dir():  # it has been used
            with contextlib.suppress(StorageError):  # a home that may only be read
                write_json(path, {"format": FORMAT})
        return
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or found < 0:
        raise StorageError(
            f"{path} does not say the format of this home (expected "
            f'{{"format": {FORMAT}}}); restore it from a backup, or remove it if the home is yours'
        )
    if found > FORMAT:
        raise StorageError(
            f"the home {home.root} is of format {found}, which a later version wrote (expected "
            f"{FORMAT} or lower); update rnnlm, or name another home with RNNLM_HOME"
        )
