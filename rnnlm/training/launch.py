"""Training in several processes: torchrun starts them, their leader's progress comes back.

On several machines start the same by hand on each, with one shared folder (one command line):

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400
        -m rnnlm.training.worker TOKENS EXPERIMENT.json OUT [START]
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rnnlm import errors
from rnnlm.config import Experiment
from rnnlm.errors import RnnlmError
from rnnlm.progress import OnProgress, Progress
from rnnlm.storage import write_bytes

MARK = "\x1ernnlm "
"""What a line of the leader's begins with; all other lines are for people."""
KEPT_LINES = 200
GRACE_SECONDS = 60.0
"""What the processes get to save their position when the run is interrupted."""


def is_launched() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(
    tokens_uri: str,
    experiment: Experiment,
    out: Path,
    on_progress: OnProgress,
    start: Path | None = None,
) -> None:
    """Train in `training.processes` processes on this machine.

    Raises:
        RnnlmError: What the leader raised, or that the processes ended without saying why.
    """
    described = out / "experiment.json"
    write_bytes(described, experiment.model_dump_json().encode())
    processes = experiment.training.processes
    threads = max(1, (os.cpu_count() or 1) // processes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "rnnlm.training.worker"]
    command += [tokens_uri, str(described), str(out), *([str(start)] if start else [])]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        start_new_session=True,
    ) as process:
        try:
            _relay(process, on_progress)
        except BaseException:
            _end(process)
            raise


def _end(process: "subprocess.Popen[str]") -> None:
    """Let the processes save their position and end; kill those that do not."""
    with suppress(ProcessLookupError):  # they have ended already
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


def tell(kind: str, value: object) -> None:
    """Send a line to the process that called `launch`."""
    print(MARK + json.dumps([kind, value]), flush=True)  # noqa: T201 - the channel is stdout


def _relay(process: "subprocess.Popen[str]", on_progress: OnProgress) -> None:
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(MARK):
            said = [*said, line.rstrip()][-KEPT_LINES:]
            continue
        kind, value = json.loads(line.removeprefix(MARK))
        if kind == "progress":
            on_progress(Progress(**value))
        else:
            raise getattr(errors, kind, RnnlmError)(value)
    if process.wait():
        raise RnnlmError(
            f"the training processes ended with status {process.returncode}: {_cause(said)}; run "
            "the same command again to go on from the last position"
        )


def _cause(said: list[str]) -> str:
    """Return why they ended, from what they and torchrun said: a signal, or the first error."""
    kills = (re.search(r"exitcode *: -(?!15\b)(\d+)", line) for line in said)  # torchrun sends 15
    if kill := next(filter(None, kills), None):
        return f"one was killed by {signal.Signals(int(kill[1])).name}"
    raised = (re.search(r"[\w.]+Error: .+", line) for line in said)
    if error := next(filter(None, raised), None):
        return error[0]
    return next(filter(str.strip, reversed(said)), "nothing said")
