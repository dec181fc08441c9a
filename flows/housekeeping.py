"""The flow that limits disk use: it lists data that is not needed and, on request, removes it.

A *leftover* is one thing that can be removed, such as a step's folder, an MLflow run, a version of
a model, a Prefect flow run, a temporary file, or the free space in a database file.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from filelock import FileLock
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.cleanup import databases
from flows.cleanup.leftovers import Found, leftovers, look
from flows.cleanup.prefect_runs import FlowRuns
from flows.cleanup.removing import remove
from flows.cleanup.rules import KINDS, Leftover, Rules, readable
from flows.runtime import home, locks, model_locks
from flows.runtime.flow_defaults import OURS
from flows.runtime.home import Home

MOST_ROWS = 200


@flow(name="housekeeping", **OURS)
def housekeeping(
    apply: bool = False, keep_days: float = 30, keep_versions: int = 5
) -> dict[str, Any]:
    """List the leftovers, that is, data that is no longer needed; with `apply`, remove them.

    The following are always kept: versions with an alias, the newest `keep_versions` versions of
    each model, versions that a data set was generated with, anything younger than `keep_days`,
    anything in use, what belongs to any of these (their corpus, tokens, model, scores, samples and
    MLflow run), data sets that the user generated, and corpora fetched from the internet.

    Args:
        apply: Whether to remove the leftovers; otherwise nothing changes.
        keep_days: Age in days below which nothing is removed.
        keep_versions: Number of newest versions to keep of each model, with or without an alias.

    Returns:
        A JSON-serializable dictionary with: whether the leftovers were removed (`applied`), both
        limits, the size of all leftovers in bytes, the count and bytes of each kind, the first 200
        leftovers, the names of models that were skipped because they are in use, the sizes of
        compacted databases before and after, and notes for the user.

    Raises:
        ConfigError: A number is out of range.
    """
    here = home.current()
    rules = Rules(keep_days, keep_versions, time.time())
    with get_client(sync_client=True) as client:
        runs = FlowRuns(client, rules, UUID(str(flow_run.id)) if flow_run.id else None)
        with _registry(here) if apply else contextlib.nullcontext():
            found = look(here, rules, runs.busy_names())
            listed = [*leftovers(found), *runs.leftovers(found.busy), *databases.slack(here)]
            listed.sort(key=lambda leftover: KINDS.index(leftover.kind))
            gone, left = listed, list[Leftover]()
            if apply:
                gone, left = _remove_all(found, runs, listed)
        compacted = _compact(here, listed, gone) if apply else []
    result = _result(found, gone, left, compacted, applied=apply)
    create_markdown_artifact(_page(result), key="housekeeping", description="unneeded data")
    get_run_logger().info("%s", sentence(result))
    return result


def sentence(result: dict[str, Any]) -> str:
    """Return a one-line summary of the dictionary that `housekeeping` returns."""
    count = sum(kind["count"] for kind in result["kinds"].values())
    size = f"{count:,} items, {readable(result['bytes'])}"
    if result["applied"]:
        return f"removed {size}" if count else "nothing to remove"
    return f"{size}; nothing was removed; add --apply" if count else "nothing to remove"


@contextlib.contextmanager
def _registry(here: Home) -> Iterator[None]:
    """Lock the registry, so that no alias is moved during removal.

    The lock also keeps a second housekeeping run from removing at the same time.
    """
    here.mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(locks.aliases(here)):
        yield


def _remove_all(
    found: Found, runs: FlowRuns, listed: list[Leftover]
) -> tuple[list[Leftover], list[Leftover]]:
    """Remove the listed leftovers, except databases, which `_compact` handles.

    Returns:
        The leftovers that were removed, and those that were kept because they have come into use
        since they were listed.
    """
    gone, left = list[Leftover](), list[Leftover]()
    for leftover in listed:
        if leftover.kind == "database":
            continue
        if leftover.kind == "stale flow run":
            went = runs.crash(leftover.what)
        elif leftover.kind == "flow run":
            went = runs.delete(leftover.what)
        elif leftover.name:
            with model_locks.alone(found.home, leftover.name) as is_free:
                went = is_free and remove(found, leftover)
        else:
            went = remove(found, leftover)
        (gone if went else left).append(leftover)
    runs.wait_for_logs([one.what for one in gone if one.kind == "flow run"])
    return gone, left


def _compact(here: Home, listed: list[Leftover], gone: list[Leftover]) -> list[databases.Compacted]:
    """Compact the databases that have much free space after the removal.

    Args:
        here: Home that holds the databases.
        listed: All leftovers that were listed.
        gone: Leftovers that were removed; each compacted database is added to it, with the number
            of bytes that were freed.

    Returns:
        The databases that were tried, with their sizes before and after.
    """
    known = {leftover.what: leftover for leftover in listed}
    done = []
    for leftover in databases.slack(here):
        if leftover.path is None:
            continue
        compacted = databases.compact(here, leftover.path)
        done.append(compacted)
        if not compacted.note:
            shown = known.get(leftover.what, leftover)
            size = max(0, compacted.before - compacted.after)
            gone.append(Leftover("database", "", shown.what, size, 0.0, leftover.why))
    return done


def _result(
    found: Found,
    gone: list[Leftover],
    left: list[Leftover],
    compacted: list[databases.Compacted],
    *,
    applied: bool,
) -> dict[str, Any]:
    counts, sizes = Counter[str](), Counter[str]()
    for leftover in gone:
        counts[leftover.kind] += 1
        sizes[leftover.kind] += leftover.bytes
    notes = [f"{one.what} was kept: it is now in use" for one in left]
    notes += [f"{one.path.name} was not compacted: {one.note}" for one in compacted if one.note]
    if counts["run"] + counts["version"] and not found.store.removes_for_good:
        notes.append(
            "run `mlflow gc` on the MLflow server to free the bytes of its runs and models"
        )
    return {
        "applied": applied,
        "keep_days": found.rules.keep_days,
        "keep_versions": found.rules.keep_versions,
        "bytes": sum(sizes.values()),
        "kinds": {k: {"count": counts[k], "bytes": sizes[k]} for k in KINDS if counts[k]},
        "leftovers": [
            {
                "kind": one.kind,
                "name": one.name,
                "what": one.what,
                "bytes": one.bytes,
                "days": one.days,
                "why": one.why,
            }
            for one in gone[:MOST_ROWS]
        ],
        "left_out": max(0, len(gone) - MOST_ROWS),
        "in_use": sorted(found.busy),
        "databases": [
            {"path": str(one.path), "bytes_before": one.before, "bytes_after": one.after}
            for one in compacted
        ],
        "notes": notes,
    }


def _page(result: dict[str, Any]) -> str:
    """Return the result of `housekeeping` as a page in Markdown, shown by Prefect."""
    rows = [
        f"| {row['kind']} | `{row['what']}` | {readable(row['bytes'])} | {row['days']:.1f} | "
        f"{row['why'].replace('|', '∣')} |"
        for row in result["leftovers"]
    ]
    more = f"\n\n… and {result['left_out']:,} more" if result["left_out"] else ""
    table = ["| kind | what | size | days | why |", "|---|---|---:|---:|---|", *rows]
    notes = "".join(f"\n- {note}" for note in result["notes"])
    in_use = ", ".join(result["in_use"])
    return "\n".join(
        [
            f"**{sentence(result)}**",
            "",
            *(table if rows else []),
            more,
            notes,
            f"\nin use, left alone: {in_use}" if in_use else "",
        ]
    )
