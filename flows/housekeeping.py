"""The flow that keeps the disk flat: it lists what nothing needs and, asked to, removes it."""

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
from flows.cleanup.rules import KINDS, Leftover, Rules
from flows.runtime import home, locks
from flows.runtime.flow_defaults import OURS
from flows.runtime.home import Home

MOST_ROWS = 200


@flow(name="housekeeping", **OURS)
def housekeeping(
    apply: bool = False, keep_days: float = 30, keep_versions: int = 5
) -> dict[str, Any]:
    """List what nothing needs any more; with `apply`, remove it.

    What stays: versions with an alias, the newest `keep_versions` of each model, versions that a
    data set names, whatever is younger than `keep_days`, whatever is in use, all that belongs to
    these, data sets that people made, and fetched corpora.

    Args:
        apply: Remove; otherwise nothing changes.
        keep_days: Nothing younger goes.
        keep_versions: Newest versions of each model that stay, aliases or not.

    Returns:
        Count and bytes by kind and in all, the leftovers (the first 200), the names that were in
        use and so left alone, databases before and after, and whether it was done.

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
    create_markdown_artifact(_page(result), key="housekeeping", description="what nothing needs")
    get_run_logger().info("%s", sentence(result))
    return result


def sentence(result: dict[str, Any]) -> str:
    """Say in one line what came of it."""
    count = sum(kind["count"] for kind in result["kinds"].values())
    size = f"{count:,} things, {readable(result['bytes'])}"
    if result["applied"]:
        return f"removed {size}" if count else "nothing was left over"
    return f"{size}; nothing was removed; add --apply" if count else "nothing is left over"


def readable(size: int) -> str:
    """Return bytes as people say them."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


@contextlib.contextmanager
def _registry(here: Home) -> Iterator[None]:
    """Keep aliases where they are, and other housekeeping out, while things are removed."""
    here.mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(locks.aliases(here)):
        yield


def _remove_all(
    found: Found, runs: FlowRuns, listed: list[Leftover]
) -> tuple[list[Leftover], list[Leftover]]:
    """Remove what was listed; return what went, and what has come into use since."""
    gone, left = list[Leftover](), list[Leftover]()
    for leftover in listed:
        if leftover.kind == "database":
            continue
        if leftover.kind == "stale flow run":
            went = runs.crash(leftover.what)
        elif leftover.kind == "flow run":
            went = runs.delete(leftover.what)
        else:
            went = remove(found, leftover)
        (gone if went else left).append(leftover)
    runs.wait_for_logs([one.what for one in gone if one.kind == "flow run"])
    return gone, left


def _compact(here: Home, listed: list[Leftover], gone: list[Leftover]) -> list[databases.Compacted]:
    """Compact the databases in which much is free by now; add them to what went."""
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
    notes = [f"{one.what} stays: it has come into use" for one in left]
    notes += [
        f"{one.path.name} stays as large as it is: {one.note}" for one in compacted if one.note
    ]
    if counts["run"] + counts["version"] and not found.store.removes_for_good:
        notes.append("the bytes of runs and models go when `mlflow gc` is run on the MLflow server")
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
    """Return the result as Markdown."""
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
