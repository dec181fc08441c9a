"""What a home holds, as facts that can be compared with those of another home."""

import contextlib
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnlm.checksums import DIGEST
from tests.storm.cases import Facts

_IGNORED = re.compile(
    r"(^|/)(\.work|prefect|logs|backups|references)(/|$)|\.lock$|\.tmp$|last\.safetensors$|\.db"
)
"""What is not compared: locks, logs, databases (compared by their rows), what a run resumes from,
and indices of training text, which are built when they are needed."""
_RANDOM = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
"""Ids that MLflow draws at random."""

_HOW = frozenset(
    {
        "seconds",
        "tokens_per_second",
        "cached",
        "was_finished",
        "unchanged",
        "run_id",
        "history.jsonl",
        DIGEST,
    }
)
"""Parts of a printed result or a record that say how it came about, and may differ after a fault:
times, and digests of what contains times."""

_QUERIES = {
    "version": """
        select v.name || '/' || v.version, t.value
        from model_versions v left join model_version_tags t
        on t.name = v.name and t.version = v.version and t.key = 'rnnlm.checkpoint'""",
    "alias": "select name || '@' || alias, version from registered_model_aliases",
    "reason": "select name || '/' || version, value from model_version_tags where key = 'reason'",
}
_PLACES = "select name || '/' || version, coalesce(storage_location, source) from model_versions"
_RUNS = """
    select e.name, r.status, r.lifecycle_stage, group_concat(t.key || '=' || t.value, ' ')
    from runs r join experiments e using (experiment_id)
    left join (
        select * from tags where key in (
            'rnnlm.kind', 'rnnlm.checkpoint', 'rnnlm.train_key', 'mlflow.rnnlm.texts'
        ) order by key
    ) t using (run_uuid)
    group by r.run_uuid"""


def snapshot(home: Path, printed: str = "") -> dict[str, Any]:
    """Return the facts about a home and about what a command printed.

    Args:
        home: The home.
        printed: Standard output of the command; if it is a JSON object, its values are facts.
    """
    return {**_files(home), **_registry(home), **_values(printed)}


def agreeing(one: Facts, other: Facts) -> dict[str, Any]:
    """Return the facts that two homes share; the others depend on time or chance."""
    return {name: value for name, value in one.items() if name in other and other[name] == value}


def _files(home: Path) -> Iterator[tuple[str, str]] | dict[str, Any]:
    found = {}
    for path in sorted((home / "data").rglob("*")):
        name = str(path.relative_to(home))
        if not _IGNORED.search(name) and path.is_file():
            found[f"file {name}"] = _digest(path)
    return found


def _digest(path: Path) -> str:
    """Return a digest of a file; of JSON, without how it came about."""
    content = path.read_bytes()
    with contextlib.suppress(ValueError):
        if path.suffix == ".json":
            content = repr([*_flat(json.loads(content), "")]).encode()
        elif path.suffix == ".jsonl":
            content = repr([[*_flat(json.loads(row), "")] for row in content.splitlines()]).encode()
    return hashlib.sha256(content).hexdigest()


def _registry(home: Path) -> dict[str, Any]:
    database = home / "mlruns" / "mlflow.db"
    facts: dict[str, Any] = {}
    if not database.is_file():
        return facts
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        try:
            for kind, query in _QUERIES.items():
                facts |= {f"{kind} {name}": value for name, value in connection.execute(query)}
            checkpoints = Counter(
                value for name, value in facts.items() if name.startswith("version ")
            )
            facts |= {f"versions with {digest}": n for digest, n in checkpoints.items()}
            runs = Counter(
                f"{name} {stage} {tags}"
                for name, _, stage, tags in connection.execute(_RUNS)
                if stage == "active"
            )
            facts |= {f"runs {what}": number for what, number in runs.items()}
            for name, place in connection.execute(_PLACES):
                folder = _folder(home, place)
                for path in sorted(folder.rglob("*.safetensors")) if folder else ():
                    facts[f"packaged {name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
        except sqlite3.Error as error:
            return {"database": str(error)}
    return facts


def _folder(home: Path, place: str) -> Path | None:
    if place.startswith("models:/"):
        model = place.removeprefix("models:/")
        return next(iter((home / "mlruns" / "artifacts").glob(f"*/models/{model}")), None)
    return Path(place.removeprefix("file://"))


def _values(printed: str) -> dict[str, Any]:
    try:
        value = json.loads(printed)
    except ValueError:
        return {}
    return dict(_flat(value, "printed"))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.split("/")[-1] not in _HOW:
                yield from _flat(inner, f"{name} {key}")
    else:
        yield name, _RANDOM.sub("#", json.dumps(value))
