"""Find and clean up flow runs in Prefect's database.

Flow runs that ended long ago are deleted. Flow runs whose process was killed, which Prefect still
considers running, are set to the state Crashed.
"""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import filters, sorting
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventOccurredFilter
from prefect.states import Crashed

from flows.cleanup.rules import SILENT_SECONDS, Leftover, Rules
from flows.runtime.home import OWN

_UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
_PAGE = 200
_LOGS_SECONDS = 10.0


class FlowRuns:
    """The flow runs of this project on a Prefect server.

    Other projects may share the server, so the runs are found by this project's work pool or tag.
    """

    def __init__(self, client: SyncPrefectClient, rules: Rules, own: UUID | None) -> None:
        """Read the flow runs that have not ended, and find out which of them show signs of life.

        Args:
            client: Client of the server.
            rules: How much to keep.
            own: Id of the flow run that does the housekeeping, which is not touched.
        """
        self._client, self._rules, self._own = client, rules, own
        self._names: dict[UUID, str] = {}
        heard = [(run, self._last_word(run)) for run in self._read(_UNDER_WAY) if run.id != own]
        self._alive = [run for run, word in heard if rules.now - word <= SILENT_SECONDS]
        self._silent = [(run, word) for run, word in heard if run not in self._alive]

    def busy_names(self) -> set[str]:
        """Return the names of the models that running flow runs work on.

        The names are taken from the names of the flow runs. Runs without a sign of life do not
        count.
        """
        return {_model_of(run) for run in self._alive}

    def leftovers(self, busy: set[str]) -> Iterator[Leftover]:
        """Yield flow runs without a sign of life, and flow runs that ended long ago.

        Args:
            busy: Names of models that a process is working on. Their flow runs count as alive, even
                without a sign of life.
        """
        for run, word in self._silent:
            if _model_of(run) not in busy:
                state, days = run.state_name or "under way", self._rules.days(word)
                why = f"{state}, but no sign of life: set to Crashed"
                yield Leftover("stale flow run", self._name(run), str(run.id), 0, days, why)
        for run in self._read(_ENDED):
            ended = (run.end_time or run.created or datetime.now(UTC)).timestamp()
            if self._rules.is_old(ended) and run.id != self._own:
                why = f"{run.state_name}, {run.name}"
                days = self._rules.days(ended)
                yield Leftover("flow run", self._name(run), str(run.id), 0, days, why)

    def crash(self, run_id: str) -> bool:
        """Set a flow run to Crashed, unless it has ended or been active since it was listed.

        Returns:
            Whether the state was set.
        """
        run = self._client.read_flow_run(UUID(run_id))
        heard = next(word for silent, word in self._silent if silent.id == run.id)
        is_under_way = run.state is not None and run.state.type in _UNDER_WAY
        if not is_under_way or self._last_word(run) > heard:
            return False
        message = (
            "no sign of life for an hour: its process has ended; the next run resumes from here"
        )
        self._client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        return True

    def delete(self, run_id: str) -> bool:
        """Delete a flow run and its artifacts; the server then deletes its logs. Return True."""
        chosen = UUID(run_id)
        of_run = filters.ArtifactFilterFlowRunId(any_=[chosen])
        while found := self._client.read_artifacts(
            artifact_filter=filters.ArtifactFilter(flow_run_id=of_run), limit=_PAGE
        ):
            for artifact in found:
                self._client.delete_artifact(artifact.id)
        self._client.delete_flow_run(chosen)
        return True

    def wait_for_logs(self, run_ids: list[str]) -> None:
        """Wait until the server has deleted the logs of deleted flow runs, for at most 10 seconds.

        The server deletes logs some time after the flow run.
        """
        deadline = time.monotonic() + _LOGS_SECONDS
        for start in range(0, len(run_ids), _PAGE):
            ids = [UUID(run_id) for run_id in run_ids[start : start + _PAGE]]
            of_runs = filters.LogFilter(flow_run_id=filters.LogFilterFlowRunId(any_=ids))
            while self._client.read_logs(of_runs, limit=1) and time.monotonic() < deadline:
                time.sleep(0.1)

    def _read(self, states: list[StateType]) -> list[FlowRun]:
        """Return this project's flow runs that are in one of some states, ordered by start time."""
        kind = filters.FlowRunFilterStateType(any_=states)
        state = filters.FlowRunFilterState(type=kind)
        tagged = filters.FlowRunFilter(state=state, tags=filters.FlowRunFilterTags(all_=[OWN]))
        pool = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[OWN]))
        pooled = filters.FlowRunFilter(state=state)
        found = [*self._pages(tagged, None), *self._pages(pooled, pool)]
        return [*{run.id: run for run in sorted(found, key=_began)}.values()]

    def _pages(
        self, chosen: filters.FlowRunFilter, pool: filters.WorkPoolFilter | None
    ) -> Iterator[FlowRun]:
        for start in itertools.count(step=_PAGE):
            page = self._client.read_flow_runs(
                flow_run_filter=chosen,
                work_pool_filter=pool,
                sort=sorting.FlowRunSort.START_TIME_ASC,
                limit=_PAGE,
                offset=start,
            )
            yield from page
            if len(page) < _PAGE:
                return

    def _last_word(self, run: FlowRun) -> float:
        """Return the time of a flow run's last activity, in seconds since 1970.

        It is the latest timestamp of the run itself, its state, tasks, artifacts, log lines and
        events.
        """
        times: list[Any] = [run.updated, run.created, run.state and run.state.timestamp]
        chosen = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run.id]))
        for task in self._client.read_task_runs(flow_run_filter=chosen, limit=_PAGE):
            times += [task.updated, task.state and task.state.timestamp]
        of_run = filters.ArtifactFilterFlowRunId(any_=[run.id])
        for artifact in self._client.read_artifacts(
            artifact_filter=filters.ArtifactFilter(flow_run_id=of_run), limit=_PAGE
        ):
            times.append(artifact.updated)
        lines = filters.LogFilter(flow_run_id=filters.LogFilterFlowRunId(any_=[run.id]))
        newest = self._client.read_logs(lines, limit=1, sort=sorting.LogSort.TIMESTAMP_DESC)
        times += [line.timestamp for line in newest]
        since = datetime.now(UTC) - timedelta(seconds=SILENT_SECONDS)
        about = EventFilter(
            any_resource=[EventAnyResourceFilter(id=[f"prefect.flow-run.{run.id}"])],
            occurred=EventOccurredFilter(since=since),
        )
        times += [event.occurred for event in self._client.read_events(about, limit=1).events]
        return float(max(when.timestamp() for when in times if when))

    def _name(self, run: FlowRun) -> str:
        if run.flow_id not in self._names:
            self._names[run.flow_id] = self._client.read_flow(run.flow_id).name
        return self._names[run.flow_id]


def _began(run: FlowRun) -> float:
    began = run.start_time or run.created
    return began.timestamp() if began else 0.0


def _model_of(run: FlowRun) -> str:
    """Return the name of the model that a flow run works on, which its name begins with."""
    return str(run.name).split(" · ")[0].split("@")[0].split("/")[0]
