"""Prefect deployments: flows with their parameters and schedules, as listed in `prefect.yaml`.

This module reads and checks that file and applies it to a server.
"""

import ast
import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import ValidationError

import rnnlm_flows
from flows.runtime.home import OWN, Home
from rnnlm.errors import ServerError

FILE = Path("prefect.yaml")
_KINDS = {"cron": CronSchedule, "interval": IntervalSchedule, "rrule": RRuleSchedule}
_DAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")

Schedule = CronSchedule | IntervalSchedule | RRuleSchedule


@dataclass(frozen=True)
class Deployment:
    """One entry of `prefect.yaml`.

    Attributes:
        name: Name of the deployment, unique in the file.
        entrypoint: The flow that it runs, as `path.py:function`, or as `rnnlm_flows.retrain`.
        schedules: The active schedules; if all schedules are switched off, all of them.
        is_off: Whether the deployment has schedules and all of them are switched off.
    """

    name: str
    entrypoint: str
    schedules: tuple[Schedule, ...]
    is_off: bool

    @property
    def words(self) -> str:
        """The schedules in words, such as `daily at 02:00 UTC`; `by hand` if there are none."""
        return " and ".join(map(in_words, self.schedules)) or "by hand"

    def next_run(self, now: datetime) -> datetime | None:
        """Return the time of the next run after `now`; None if no run is scheduled."""
        if self.is_off:
            return None
        due = [found for schedule in self.schedules if (found := _next(schedule, now))]
        return min(due, default=None)


def find(home: Home) -> Path:
    """Return the path of the file with the deployments of a home, which may be missing.

    It is that in the current folder, or else that in the home.
    """
    return FILE if FILE.is_file() else home.root / FILE


def read(path: Path) -> list[Deployment]:
    """Return the deployments that a file lists, checked as far as possible without a server.

    Raises:
        ServerError: The file cannot be read, or an entry is invalid; the message says which.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ServerError(
            f"{path}{where} is not YAML: {problem}; correct it, or move it away"
        ) from None
    entries = content.get("deployments") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ServerError(
            f"{path}: no list `deployments` (expected entries with name, entrypoint, …)"
        )
    found = [_deployment(path, number, entry) for number, entry in enumerate(entries, start=1)]
    names = [deployment.name for deployment in found]
    for name in names:
        if names.count(name) > 1:
            raise ServerError(f"{path}: {names.count(name)} deployments are named {name!r}")
    return found


def in_words(schedule: Schedule) -> str:
    """Return a schedule in words, such as `daily at 02:00 UTC` or `every 15 minutes`.

    A schedule that is too complicated for words is returned as it is written in the file.
    """
    if isinstance(schedule, IntervalSchedule):
        return f"every {_span(schedule.interval)}"
    if isinstance(schedule, RRuleSchedule):
        return schedule.rrule.replace("RRULE:", "")
    zone = schedule.timezone or "UTC"
    fields = schedule.cron.split()
    if len(fields) != 5:
        return f"cron {schedule.cron} {zone}"
    minute, hour, day, month, weekday = fields
    if (hour, day, month, weekday) == ("*", "*", "*", "*"):
        if minute.startswith("*/") and minute[2:].isdigit() and not 60 % int(minute[2:]):
            return f"every {_span(timedelta(minutes=int(minute[2:])))}"
        if minute.isdigit():
            return f"hourly at :{int(minute):02d}"
    if minute.isdigit() and hour.isdigit() and month == "*":
        at = f"at {int(hour):02d}:{int(minute):02d} {zone}"
        if (day, weekday) == ("*", "*"):
            return f"daily {at}"
        if (day, weekday) == ("*", "1-5"):
            return f"on weekdays {at}"
        if day == "*" and weekday.isdigit():
            return f"{_DAYS[int(weekday) % 7]} {at}"
        if day.isdigit() and weekday == "*":
            return f"monthly on the {int(day)}. {at}"
    return f"cron {schedule.cron} {zone}"


def make_pool(api: str) -> None:
    """Create this project's work pool on a Prefect server if it does not exist.

    The worker takes the runs of all deployments from this pool.

    Args:
        api: Address of the Prefect server's API.
    """
    with client_of(api) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=OWN, type="process"))


def apply(api: str, path: Path) -> None:
    """Create or update the deployments on a Prefect server to match a file.

    Args:
        api: Address of the Prefect server's API.
        path: The file, `prefect.yaml`.

    Raises:
        ServerError: Prefect rejects a deployment.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        check=False,
        cwd=path.parent,
        env={**os.environ, "PREFECT_API_URL": api},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        why = next((line for line in reversed(said) if "rror" in line), said[-1] if said else "")
        raise ServerError(f"Prefect rejects {path}: {why[:300]}")


def forgotten(api: str, wanted: Sequence[Deployment]) -> list[str]:
    """Return the deployments of this project that are on the server but no longer in the file.

    Args:
        api: Address of the Prefect server's API.
        wanted: Deployments in the file.

    Returns:
        The names, as `flow/deployment`, sorted.
    """
    pool = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[OWN]))
    with client_of(api) as client:
        found = client.read_deployments(work_pool_filter=pool, limit=200)
        flows = {one.flow_id: client.read_flow(one.flow_id).name for one in found}
    names = {one.name for one in wanted}
    return sorted(f"{flows[one.flow_id]}/{one.name}" for one in found if one.name not in names)


@contextlib.contextmanager
def client_of(api: str) -> Iterator[SyncPrefectClient]:
    """Yield a client of the Prefect server with this API address.

    The password is that of Prefect's settings, which may name another address or none.
    """
    with (
        temporary_settings(updates={PREFECT_API_URL: api}),
        get_client(sync_client=True) as client,
    ):
        yield client


def _deployment(path: Path, number: int, entry: Any) -> Deployment:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ServerError(f"{path}: deployment {number} has no name")
    where = f"{path}: deployment {entry['name']!r}"
    pool = (entry.get("work_pool") or {}).get("name")
    if pool != OWN:
        raise ServerError(f"{where} goes to work pool {pool!r} (expected {OWN!r})")
    entrypoint = str(entry.get("entrypoint"))
    parameters = entry.get("parameters") or {}
    _check_flow(where, path.parent, entrypoint, parameters)
    written = entry.get("schedules") or ([entry["schedule"]] if entry.get("schedule") else [])
    if not isinstance(written, list):
        raise ServerError(f"{where}: `schedules` is not a list")
    schedules = [(_schedule(where, given), given.get("active", True)) for given in written]
    on = tuple(schedule for schedule, active in schedules if active and not entry.get("paused"))
    off = tuple(schedule for schedule, _ in schedules)
    return Deployment(entry["name"], entrypoint, on or off, is_off=bool(off) and not on)


def _check_flow(where: str, folder: Path, entrypoint: str, parameters: Mapping[str, Any]) -> None:
    module, _, ours = entrypoint.rpartition(".")
    try:
        if module == rnnlm_flows.__name__:
            file, name = rnnlm_flows.source_of(ours)
        else:
            file, name = folder / entrypoint.partition(":")[0], entrypoint.partition(":")[2]
        tree = ast.parse(file.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, KeyError):
        known = ", ".join(f"rnnlm_flows.{name}" for name in rnnlm_flows.FLOWS)
        raise ServerError(
            f"{where}: entrypoint {entrypoint!r} (expected path.py:flow of an existing file, or "
            f"one of {known})"
        ) from None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, kinds) and node.name == name]
    if not found:
        raise ServerError(f"{where}: {entrypoint.partition(':')[0]} has no flow {name!r}")
    arguments = found[0].args
    takes = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    unknown = [parameter for parameter in parameters if parameter not in takes]
    if unknown and arguments.kwarg is None:
        raise ServerError(
            f"{where}: {name} takes no parameter {unknown[0]!r} (it takes: {', '.join(takes)})"
        )


def _schedule(where: str, given: Any) -> Schedule:
    kinds = [kind for kind in _KINDS if isinstance(given, dict) and given.get(kind) is not None]
    if len(kinds) != 1:
        raise ServerError(
            f"{where}: a schedule needs one of cron, interval or rrule, not {given!r}"
        )
    (kind,) = kinds
    wanted = (kind, "timezone", "day_or" if kind == "cron" else "anchor_date")
    values = {key: given[key] for key in wanted if given.get(key) is not None}
    try:
        schedule: Schedule = _KINDS[kind](**values)
        return schedule
    except (ValidationError, ValueError, TypeError) as error:
        raise ServerError(f"{where}: {_fault(kind, values, error)}") from None


def _fault(kind: str, values: Mapping[str, Any], error: Exception) -> str:
    examples = {"cron": '"0 2 * * *"', "interval": "900, in seconds", "rrule": '"FREQ=DAILY"'}
    said = str(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error)
    if "timezone" in said.lower():
        return (
            f"timezone {values.get('timezone')!r} is unknown (expected, for example, Europe/Berlin)"
        )
    if isinstance(error, ValidationError) and "anchor_date" in error.errors()[0]["loc"]:
        return (
            f"anchor_date {values['anchor_date']!r} is not a date (expected, for example, "
            "2026-01-01T00:00:00Z)"
        )
    return f"{kind} {values[kind]!r} is not a schedule (expected, for example, {examples[kind]})"


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    from prefect.server.schemas import schedules  # noqa: PLC0415 - slow to import

    values = schedule.model_dump()
    on_server = getattr(schedules, type(schedule).__name__).model_validate(values)
    dates = asyncio.run(on_server.get_dates(1, start=now))
    return dates[0] if dates else None


def _span(span: timedelta) -> str:
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(span.total_seconds(), seconds)
        if count >= 1 and not rest:
            return unit if count == 1 else f"{count:.0f} {unit}s"
    return f"{span.total_seconds():g} seconds"
