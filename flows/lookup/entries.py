"""Read the versions and aliases in MLflow's registry without MLflow.

If the store is the home's own SQLite database, a few of its columns are read; if it is a server,
its REST API is called. Both change from one version of MLflow to the next. So anything unexpected,
such as a missing column, counts as a store that cannot be read, and the caller imports MLflow.
"""

import base64
import json
import os
import sqlite3
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flows.runtime import backups
from flows.runtime.addresses import is_http
from flows.runtime.home import Home

CHECKPOINT_TAG = "rnnlm.checkpoint"
"""Tag of runs and versions that holds the sha256 of a checkpoint."""
SCORE_TAG = "test_bits_per_character"
TIMEOUT_SECONDS = 5.0
_DELETED = "Deleted_Internal"
_MOST = 1000
_VERSIONS = """
    SELECT name, version, current_stage, coalesce(storage_location, source) FROM model_versions
"""
_TAGS = """
    SELECT name, version, "key", value FROM model_version_tags WHERE "key" IN (?, ?)
"""


@dataclass(frozen=True)
class Entry:
    """A version in the registry.

    Attributes:
        digest: sha256 of its checkpoint; empty if it is not known.
        folder: Folder of its files on this machine; None if it is not known.
        bits_per_character: Its score on the test split; None if it is not known.
    """

    digest: str
    folder: Path | None
    bits_per_character: float | None

    @classmethod
    def of(cls, tags: Mapping[str, str], folder: Path | None) -> "Entry":
        """Return the version with these tags and this folder."""
        bits = float(tags.get(SCORE_TAG, "nan"))
        return cls(tags.get(CHECKPOINT_TAG, ""), folder, None if isnan(bits) else bits)

    @property
    def checkpoint(self) -> Path | None:
        """Path of its checkpoint on this machine; None if it is missing or not known."""
        return self.folder and next(self.folder.glob("artifacts/*.safetensors"), None)


@dataclass(frozen=True)
class Entries:
    """What the registry holds.

    Attributes:
        versions: The versions of each model, by number.
        aliases: For each model, its aliases and the number of the version that each one names.
    """

    versions: dict[str, dict[int, Entry]] = field(default_factory=dict)
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)


def read(home: Home) -> Entries | None:
    """Return what the registry of a home holds; None if it cannot be read without MLflow.

    A damaged SQLite database, or one that is missing but has backups, counts as unreadable too. A
    caller that then connects with MLflow gets an error that says what to do.
    """
    try:
        if is_http(home.tracking_uri):
            return _of_server(home.tracking_uri.rstrip("/"))
        database = backups.database(home)
        if database is not None and not backups.fault_of(database):
            return _of_database(home, database)
    except (OSError, sqlite3.Error, ValueError, LookupError, TypeError, AttributeError):
        return None
    return None


def _of_database(home: Home, path: Path) -> Entries:
    found = Entries()
    if not path.is_file():
        return found
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as store:
        for (name,) in store.execute("SELECT name FROM registered_models"):
            if name in found.versions:  # in two of MLflow's workspaces
                raise LookupError(name)
            found.versions[name], found.aliases[name] = {}, {}
        tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for name, number, key, value in store.execute(_TAGS, (CHECKPOINT_TAG, SCORE_TAG)):
            tags[name, number][key] = value
        for name, number, stage, place in store.execute(_VERSIONS):
            if stage != _DELETED:
                entry = Entry.of(tags[name, number], _folder(home, place))
                found.versions[name][int(number)] = entry
        rows = store.execute("SELECT name, alias, version FROM registered_model_aliases")
        for name, alias, number in rows:
            found.aliases[name][alias] = int(number)
    return found


def _folder(home: Home, place: str) -> Path | None:
    """Return the folder on this machine that an MLflow URI refers to; None if there is none."""
    if place.startswith("models:/"):
        found = home.mlruns.glob(f"artifacts/*/{place.replace(':', '')}/artifacts")
        return next(iter(found), None)
    return Path(urllib.request.url2pathname(urlsplit(place).path)) if place else None


def _of_server(address: str) -> Entries:
    found = Entries()
    for model in _all(address, "registered-models", "registered_models"):
        held = {one["alias"]: int(one["version"]) for one in model.get("aliases", ())}
        found.versions[model["name"]], found.aliases[model["name"]] = {}, held
    for version in _all(address, "model-versions", "model_versions"):
        tags = {tag["key"]: tag["value"] for tag in version.get("tags", ())}
        found.versions[version["name"]][int(version["version"])] = Entry.of(tags, None)
    return found


def _all(address: str, what: str, key: str) -> list[Mapping[str, Any]]:
    """Return all objects of a kind in the registry of a server."""
    query = urlencode({"max_results": _MOST})
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/{what}/search?{query}")  # noqa: S310
    user, secret = (os.environ.get(f"MLFLOW_TRACKING_{n}") for n in ("USERNAME", "PASSWORD"))
    if user and secret:
        token = base64.b64encode(f"{user}:{secret}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        values = json.load(answer)
    if values.get("next_page_token"):
        raise LookupError(f"more than {_MOST}")
    found: list[Mapping[str, Any]] = values.get(key, [])
    return found
