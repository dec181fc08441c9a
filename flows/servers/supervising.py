"""Processes that run until they are stopped: restart those that end, and end them in order."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from flows.runtime import leases, startup_gc
from flows.runtime.home import Home
from flows.servers import lost_runs, processes
from flows.servers.processes import Command, Process
from rnnlm.errors import ServerError

STEADY_SECONDS = 60.0
"""A server that ran for at least this long before it ended is restarted after the shortest pause.
The pause before a restart doubles each time a server ends earlier than this."""
LONGEST_PAUSE = 60.0  # longest pause before a restart, in seconds
DEATHS = 6
"""The command gives up if a server ends early this many times in a row."""
LOOK_SECONDS = 0.5  # time between two checks whether a process has ended
SWEEP_SECONDS = 15.0  # time between two searches for lost flow runs

Tell = Callable[[str], None]


class Supervisor:
    """Starts processes, restarts those that end, and ends them all.

    Attributes:
        worker: Command that starts the Prefect worker.
    """

    def __init__(self, home: Home, prefect_api: str, name: str, worker: Command) -> None:
        """Start nothing yet.

        Args:
            home: Home that the flow runs use.
            prefect_api: Address of the Prefect server's API.
            name: Name of the Prefect worker.
            worker: Command that starts the Prefect worker.
        """
        self._home, self._prefect_api = home, prefect_api
        self._name, self.worker = name, worker
        self._running: list[Process] = []
        self._deaths: dict[str, int] = {}
        self._due: dict[str, tuple[float, Command]] = {}

    def start(self, commands: list[Command]) -> None:
        """Start processes in parallel, and wait until all of them answer."""
        begun = [Process(command) for command in commands]
        self._running.extend(begun)
        for process in begun:
            process.wait_until_it_answers()

    def run(self, tell: Tell) -> None:
        """Restart processes that end, and take over lost flow runs; this never returns."""
        startup_gc.resume()  # each search for lost runs leaves a megabyte of garbage
        sweep_at = time.monotonic() + SWEEP_SECONDS
        while True:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for process in [one for one in self._running if not one.is_running]:
                self._bury(process, now, tell)
            for name, (at, command) in [*self._due.items()]:
                if now >= at:
                    del self._due[name]
                    self._start_again(command, tell)
            if now >= sweep_at:
                self.sweep(tell)
                sweep_at = time.monotonic() + SWEEP_SECONDS

    def end(self) -> None:
        """End all processes: first the worker and its flow runs, then the servers.

        In this order, the servers still record how the flow runs ended.
        """
        for process in self._running[::-1]:
            if process.command is self.worker:
                process.ask_to_end()
                processes.end_all(_is_run_of_ours)
                process.end()
        servers = [one for one in self._running if one.command is not self.worker]
        for process in servers:
            process.ask_to_end()
        for process in servers:
            process.end()

    def _bury(self, process: Process, now: float, tell: Tell) -> None:
        command = process.command
        self._running.remove(process)
        ending = process.ending()
        process.end()
        steady = now - process.began >= STEADY_SECONDS
        deaths = 1 if steady else self._deaths.get(command.name, 0) + 1
        if deaths >= DEATHS:
            raise ServerError(f"{command.name} ended {deaths} times in a row: {ending}")
        self._deaths[command.name] = deaths
        pause = min(2.0 ** (deaths - 1), LONGEST_PAUSE)
        self._due[command.name] = (now + pause, command)
        tell(f"{command.name} ended: {ending}; starts again in {pause:.0f} s")

    def _start_again(self, command: Command, tell: Tell) -> None:
        if command is self.worker:
            self.sweep(tell, timedelta(0))
        self._running.append(Process(command))

    def sweep(self, tell: Tell, settled_after: timedelta = lost_runs.SETTLED_AFTER) -> None:
        """Take over lost flow runs; see `lost_runs.take_over`.

        Args:
            tell: Called with a line of text for each of them.
            settled_after: Runs whose state changed more recently than this are left alone.
        """
        try:
            lost = lost_runs.take_over(self._home, self._prefect_api, self._name, settled_after)
        except Exception as error:  # noqa: BLE001 - the server may come back
            tell(f"could not check for lost runs: {' '.join(str(error).split())[:200]}")
            return
        for run in lost:
            then = "it resumes" if run.state == "Scheduled" else f"marked {run.state}"
            tell(f"the run {run.name!r} was lost: its process has ended; {then}")


def _is_run_of_ours(environment: Mapping[str, str]) -> bool:
    ours = environment.get(processes.MARK) == os.environ[processes.MARK]
    return ours and leases.STARTED_BY_WORKER in environment
