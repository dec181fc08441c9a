"""Where state lives: everything that a run writes is under one folder."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

OWN = "rnnlm"
"""What is ours on a Prefect server that others share: the work pool, and a tag of flow runs."""


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
    """Return the home that the environment names, or the current directory, as `.`."""
    named = os.environ.get("RNNLM_HOME")
    return Home(Path(named).resolve() if named else Path())
