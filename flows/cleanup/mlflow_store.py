"""Read the MLflow store for housekeeping, and remove versions, models and runs from it.

A packaged model is a model that was logged to MLflow with its files; a version refers to one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import LoggedModel, Run, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from flows import registry
from flows.registry import Version
from flows.runtime.home import Home
from flows.tracking import connect
from flows.tracking.connecting import TOKENS, curve, model_of

MARK_TAG = "rnnlm.housekeeping"
"""Tag of runs and packaged models whose removal has begun. If a removal is interrupted, the next
housekeeping finds them by this tag and completes it."""
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_PAGE = 1000


@dataclass(frozen=True)
class Registered:
    """A registered version, with details from MLflow that `Version` does not hold.

    Attributes:
        version: The version.
        aliases: All aliases of the version, including those that users have made.
        model_id: Id of the packaged model that the version refers to; empty if there is none.
        created: Creation time of the version, in seconds since 1970.
    """

    version: Version
    aliases: tuple[str, ...]
    model_id: str
    created: float


class Store:
    """The MLflow store of a home.

    Attributes:
        home: The home.
        client: Client of the store.
        database: Path of the SQLite file that is the home's default store.
        is_here: Whether the store is that file, not a server or another database.
        removes_for_good: Whether runs and models can be removed permanently. This is possible if
            the store is a database; a server only marks them as deleted.
    """

    def __init__(self, home: Home) -> None:
        """Connect to the store."""
        self.home = home
        self.client: MlflowClient = connect(home)
        self._backend: Any = self.client._tracking_client.store
        self.database = (home.mlruns / "mlflow.db").resolve()
        self.is_here = home.tracking_uri == f"sqlite:///{self.database}"
        self.removes_for_good = hasattr(self._backend, "_hard_delete_run")

    def versions(self) -> list[Registered]:
        """Return the registered versions of this project, newest first within a model.

        They are the versions with a checkpoint tag. Versions of other projects, which may share the
        server, have no such tag.
        """
        found = []
        aliases = {m.name: m.aliases for m in _pages(self.client.search_registered_models)}
        raw = {(v.name, int(v.version)): v for v in _pages(self.client.search_model_versions)}
        for version in filter(lambda version: version.checkpoint, registry.versions(self.home)):
            held = aliases.get(version.name, {})
            row = raw.get((version.name, version.version))
            if row is None:  # registered between the two requests
                continue
            model = _MODEL_ID.search(row.source or "")
            found.append(
                Registered(
                    version=version,
                    aliases=tuple(a for a, n in held.items() if int(n) == version.version),
                    model_id=model.group() if model else "",
                    created=row.creation_timestamp / 1000,
                )
            )
        return found

    def experiments(self) -> dict[str, str]:
        """Return the name of the model of each MLflow experiment that is not deleted, by id."""
        found = _pages(self.client.search_experiments, view_type=ViewType.ACTIVE_ONLY)
        return {e.experiment_id: model_of(e.name) for e in found}

    def runs(self, experiment_ids: list[str], view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        """Return all MLflow runs of some experiments.

        Args:
            experiment_ids: Ids of the experiments.
            view: Whether to return active runs, deleted runs or both; a value of `ViewType`.
        """
        if not experiment_ids:
            return []
        asked = {"experiment_ids": experiment_ids, "run_view_type": view, "max_results": _PAGE}
        return [*_pages(self.client.search_runs, **asked)]

    def models(self, experiment_ids: list[str]) -> list[LoggedModel]:
        """Return all packaged models of some experiments.

        Those whose removal by housekeeping was interrupted are included.

        Args:
            experiment_ids: Ids of the experiments.
        """
        if not experiment_ids:
            return []
        found = [*_pages(self.client.search_logged_models, experiment_ids=experiment_ids)]
        if self.removes_for_good:
            deleted = self._backend._get_deleted_logged_models()
            half = [self._backend.get_logged_model(m, allow_deleted=True) for m in deleted]
            found += [m for m in half if MARK_TAG in m.tags and m.experiment_id in experiment_ids]
        return found

    def last_word(self, run: Run) -> float:
        """Return the time of a run's last activity, in seconds since 1970.

        It is the time at which the last point of its training curves was logged, or else the start
        time of the run.
        """
        names = (curve(TOKENS), TOKENS)  # the second in runs of earlier versions
        points = [
            p for name in names for p in self.client.get_metric_history(run.info.run_id, name)
        ]
        return float(max([run.info.start_time, *(point.timestamp for point in points)]) / 1000)

    def folder_of(self, uri: str) -> Path | None:
        """Return the folder at an artifact address if this home may remove it, else None.

        A home may not remove artifacts of a server. If the home is a copy, its database still names
        the folders of the original home, which the copy may not remove either.

        Args:
            uri: Address of the artifacts of a run or of a packaged model.
        """
        parts = urlsplit(uri)
        if parts.scheme not in ("", "file") or not self.removes_for_good:
            return None
        path = Path(unquote(parts.path))
        if self.is_here and not path.is_relative_to(self.home.mlruns.resolve()):
            return None
        return path if path.is_dir() else None

    def remove_version(self, name: str, version: int) -> bool:
        """Delete a version unless an alias now refers to it; return whether it was deleted."""
        held = self.client.get_registered_model(name).aliases.values()
        if str(version) in map(str, held):
            return False
        self.client.delete_model_version(name, str(version))
        return True

    def remove_model(self, model_id: str) -> None:
        """Delete a packaged model, permanently if `removes_for_good`; its files are deleted first.

        This does what `mlflow gc` does for a single id. That command itself is not used, because it
        would also remove all experiments and models that users have deleted but may still restore.
        """
        uri = self._model(model_id).artifact_location
        if MARK_TAG not in self._model(model_id).tags:
            self.client.set_logged_model_tags(model_id, {MARK_TAG: "removed"})
            self.client.delete_logged_model(model_id)
        if self.removes_for_good:
            self._remove_files(uri)
            self._backend._hard_delete_logged_model(model_id)

    def remove_run(self, run_id: str) -> None:
        """Delete a run, permanently if `removes_for_good`; its files are deleted first."""
        run = self.client.get_run(run_id)
        if run.info.lifecycle_stage == "active":
            self.client.set_tag(run_id, MARK_TAG, "removed")
            self.client.delete_run(run_id)
        if self.removes_for_good:
            self._remove_files(run.info.artifact_uri)
            self._backend._hard_delete_run(run_id)

    def _model(self, model_id: str) -> LoggedModel:
        if self.removes_for_good:
            return self._backend.get_logged_model(model_id, allow_deleted=True)
        return self.client.get_logged_model(model_id)

    def _remove_files(self, uri: str) -> None:
        is_elsewhere = urlsplit(uri).scheme not in ("", "file")
        folder = self.folder_of(uri)
        if folder is None and not is_elsewhere:
            return
        get_artifact_repository(uri).delete_artifacts()
        if folder is not None and not any(folder.parent.iterdir()):
            folder.parent.rmdir()  # the folder of the run or model, which held only `artifacts`


def _pages(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """Yield all results of an MLflow search, which returns them in pages.

    Args:
        search: A search method of MLflow's client.
        asked: Arguments of the search.
    """
    token = None
    while True:
        page = search(**asked, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
