"""Start several training processes on this machine and relay the progress that rank 0 reports.

The processes find each other through a file and communicate over the loopback interface, so none of
them accepts connections from other machines.

To train on several machines, torchrun starts `rnnlm.training.worker` instead: docs/scale.md.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from rnnlm import errors
from rnnlm.config import Experiment
from rnnlm.errors import RnnlmError
from rnnlm.progress import OnProgress, Progress
from rnnlm.storage import write_bytes

MARK = "\x1ernnlm "
"""Prefix of the lines on which rank 0 reports progress or errors; other lines are free text."""
RENDEZVOUS = "RNNLM_RENDEZVOUS"
"""Environment variable that holds the URI of the file by which the processes find each other."""
HERE = str(Path(__file__).parent.parent.parent)
"""Folder that contains this package, so that the processes can import it."""
KEPT_LINES = 200
GRACE_SECONDS = 60.0
"""Time that the processes have to save and exit after an interruption, before they are killed."""
LOOK_SECONDS = 0.1
SAY_SECONDS = 0.5
"""Time between the failure of one process and killing the others, which may print errors."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def is_launched() -> bool:
    """Return whether this process is one of several that train together."""
    return RENDEZVOUS in os.environ or "TORCHELASTIC_RUN_ID" in os.environ


def launch(
    tokens_uri: str,
    experiment: Experiment,
    out: Path,
    on_progress: OnProgress,
    start: Path | None = None,
) -> None:
    """Train in several processes on this machine, and return when they have finished.

    Args:
        tokens_uri: Folder written by `tokenize`.
        experiment: Its setting `training.processes` is the number of processes to start.
        out: Folder for the checkpoints.
        on_progress: Called with each progress report of rank 0.
        start: Checkpoint that the initial weights come from; None for random weights.

    Raises:
        RnnlmError: Rank 0 reported an error, or a process failed without one.
    """
    described = out / "experiment.json"
    write_bytes(described, experiment.model_dump_json().encode())
    command = [
        sys.executable,
        "-P",
        "-m",
        "rnnlm.training.worker",
    ]  # -P: not the user's own modules
    command += [tokens_uri, str(described), str(out), *([str(start)] if start else [])]
    with tempfile.TemporaryDirectory(prefix="rnnlm-") as folder:
        workers = _Workers(command, experiment.training.processes, Path(folder))
        with workers.output:
            try:
                _relay(workers, on_progress)
            except BaseException:
                workers.end()
                raise


class _Workers:
    """The processes that train together, and the one pipe that all of them write to.

    Attributes:
        output: Reading end of the pipe: the standard output and errors of all processes.
    """

    def __init__(self, command: list[str], count: int, folder: Path) -> None:
        """Start the processes.

        Args:
            command: Command line of each process.
            count: Number of processes.
            folder: Empty folder that only this user can access, for the rendezvous file.
        """
        shared = {
            **os.environ,
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
            "PYTHONPATH": os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")])),
            "WORLD_SIZE": str(count),
            RENDEZVOUS: (folder / "rendezvous").as_uri(),
        }
        for library in ("GLOO", "NCCL"):
            shared.setdefault(f"{library}_SOCKET_IFNAME", LOOPBACK)
        read_end, write_end = os.pipe()
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(count):
                self._processes.append(
                    subprocess.Popen(
                        command,
                        stdout=write_end,
                        stderr=subprocess.STDOUT,
                        env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                        start_new_session=True,  # Ctrl-C stays here; `end` forwards it
                    )
                )
        except BaseException:
            self._signal(signal.SIGKILL)
            raise
        finally:
            os.close(write_end)
        self.output: IO[str] = os.fdopen(read_end, encoding="utf-8", errors="replace")
        self._is_ending = False
        self._statuses: list[int | None] = []
        self._watch = threading.Thread(target=self._end_after_a_failure, daemon=True)
        self._watch.start()

    def end(self) -> None:
        """Ask all processes to save and exit; kill those still running after `GRACE_SECONDS`."""
        self._is_ending = True
        self._signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:  # even if a second Ctrl-C interrupts the waiting
            self._signal(signal.SIGKILL)

    def wait(self) -> list[int | None]:
        """Wait for all processes; return the exit status of each.

        A status is negative if a signal ended the process. It is None if the process was still
        running when another one failed, and was therefore killed.
        """
        self._watch.join()
        return self._statuses

    def _end_after_a_failure(self) -> None:
        """Wait for all processes; when one fails, kill the others.

        The others would otherwise wait for the failed one forever. Runs in a separate thread.
        """
        while not self._is_ending:
            self._statuses = [process.poll() for process in self._processes]
            if all(status == 0 for status in self._statuses):
                return
            if any(self._statuses):
                time.sleep(SAY_SECONDS)
                if not self._is_ending:  # otherwise the processes are saving
                    self._signal(signal.SIGKILL)
                return
            time.sleep(LOOK_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)  # no-op if it has exited


def tell(what: Progress | RnnlmError) -> None:
    """Send the leader's progress or error to the process that called `launch`.

    Under torchrun there is no such process, and lines for a reader are printed instead: the error,
    and the progress after each validation.
    """
    is_read_by_a_person = RENDEZVOUS not in os.environ
    if isinstance(what, Progress):
        if not is_read_by_a_person:
            _print(MARK + json.dumps(["progress", asdict(what)]))
        elif any(name.startswith("validation/") for name in what.metrics):
            _print(f"step {what.step:,}  {what.done / what.total:4.0%}  {what.note}")
    elif is_read_by_a_person:
        _print(f"error: {what}")
    else:
        _print(MARK + json.dumps([type(what).__name__, str(what)]))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - these processes report on their standard output


def _relay(workers: _Workers, on_progress: OnProgress) -> None:
    said: list[str] = []
    for line in workers.output:
        if not line.startswith(MARK):
            said = [*said, line.rstrip()][-KEPT_LINES:]
            continue
        kind, value = json.loads(line.removeprefix(MARK))
        if kind == "progress":
            on_progress(Progress(**value))
        else:
            raise getattr(errors, kind, RnnlmError)(value)
    if any(statuses := workers.wait()):
        raise RnnlmError(
            f"the training processes ended: {_cause(statuses, said)}; run the same command again "
            "to continue from the last position"
        )


def _cause(statuses: list[int | None], said: list[str]) -> str:
    """Return why the training processes failed, in a few words.

    This is the signal that killed one of them, else the first error that one printed, else the last
    line of output.

    Args:
        statuses: Exit statuses; see `_Workers.wait`.
        said: The last lines of output.
    """
    for status in statuses:
        if status is not None and status < 0:
            return f"one was killed by {signal.Signals(-status).name}"
    raised = (re.search(r"[\w.]+Error: .+", line) for line in said)
    if error := next(filter(None, raised), None):
        return error[0]
    return next(filter(str.strip, reversed(said)), "no output")
