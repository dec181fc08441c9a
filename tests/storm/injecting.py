"""Run a command in a home, with or without a fault."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from flows.servers.processes import responds
from tests.storm.cases import Command, Fault, Moment, Run, Scene

ROOT = Path(__file__).parent.parent.parent
MARK = "STORM_CASE"
END_SECONDS = 15.0
"""Seconds within which a command's servers and workers must end after the command."""
READY_SECONDS = 120.0
ACTED_SECONDS = 2.0
"""Seconds after which a fault's effect on servers is visible."""
_ADDRESS = re.compile(r"export (?:PREFECT_API_URL|MLFLOW_TRACKING_URI)=(\S+)")
_KEPT = ("PREFECT_", "MLFLOW_", "RNNLM_", "STORM_")


def compile_shim(folder: Path) -> Path:
    """Compile `shim.c` into a folder, and return the path of the library."""
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    words = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(words, check=True)
    return library


def run(command: Command, home: Path, shim: Path, fault: Fault | None = None) -> Run:
    """Run a command with its working directory in a home, and wait for it and its servers.

    Args:
        command: The command.
        home: The home.
        shim: The library that injects faults at system calls.
        fault: The fault; None for none.
    """
    scene = Scene(home, uuid.uuid4().hex)
    with tempfile.TemporaryDirectory(prefix="storm-") as folder, contextlib.ExitStack() as stack:
        environment = _environment(scene)
        moment = fault.moment if fault else None
        if fault:
            environment |= fault.environment
        if moment:
            environment |= preloaded(shim, home, Path(folder), moment)
        if fault and fault.around:
            stack.enter_context(fault.around(scene))
        companion = None
        if fault and fault.beside:
            companion = _Started(fault.beside, scene, environment, Path(folder, "beside"))
        started = _Started(command, scene, environment, Path(folder, "first"))
        scene.process = started.process.pid
        if fault and fault.act and moment:
            _act_when_stopped(fault, scene, started)
        if command.ready:
            _use_served(started, scene, fault)
        finished = started.finish()
        if companion:
            other = companion.finish()
            err = finished.err + other.err.replace("error: ", "the other command: ")
            status = finished.status if other.status is not None else None
            finished = Run(status, finished.out, err, finished.seconds, other.left_behind)
        left = [] if finished.status is None else _wait_for_the_rest(scene.mark)
        kill_all(scene.mark)
    return Run(finished.status, finished.out, finished.err, finished.seconds, tuple(left))


def preloaded(
    shim: Path, home: Path, folder: Path, moment: Moment, log: Path | None = None
) -> dict[str, str]:
    """Return the environment variables that inject a fault at a moment.

    Args:
        shim: The library to preload.
        home: The home whose files are watched.
        folder: Folder for the shared counter.
        moment: The moment.
        log: File in which all counted calls are listed; None for none.
    """
    counter = folder / f"counter-{uuid.uuid4().hex}"
    counter.write_bytes(bytes(64))
    do = f"signal:{int(signal.SIGSTOP)}" if moment.do == "stop" else moment.do
    return {
        "LD_PRELOAD": str(shim),
        "STORM_BELOW": str(home),
        "STORM_WHO": moment.who,
        "STORM_COUNTER": str(counter),
        "STORM_AT": str(moment.number),
        "STORM_DO": do,
        **({"STORM_READS": "1"} if moment.reads else {}),
        **({"STORM_LOG": str(log)} if log else {}),
    }


def calls_of(
    command: Command, home: Path, shim: Path, counted: str
) -> tuple[Run, list[tuple[int, str, str]]]:
    """Run a command without a fault; return the run and the calls that a fault could hit.

    A call is a number, the name of the call, and a path relative to the home.

    Args:
        command: The command.
        home: The home.
        shim: See `run`.
        counted: Which calls: see `storming.Storm.observe`.
    """
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        log = Path(folder, "log")
        reads = counted == "reads"
        moment = Moment(0, "", "command" if reads else counted, reads)
        environment = preloaded(shim, home, Path(folder), moment, log)
        finished = run(command, home, shim, Fault("", "", environment=environment))
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
    split = [line.split(" ", 2) for line in lines]
    return finished, [(int(number), call, path) for number, call, path in split]


def processes(mark: str) -> Iterator[psutil.Process]:
    """Yield the running processes of a case."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def kill_all(mark: str) -> None:
    """Kill all processes of a case."""
    while found := [*processes(mark)]:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def rnnlm() -> list[str]:
    """Return the command line that starts the installed program."""
    return [str(Path(sys.executable).with_name("rnnlm"))]


def _environment(scene: Scene) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_KEPT)}
    return kept | {
        MARK: scene.mark,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


class _Started:
    """A command that has been started."""

    def __init__(
        self, command: Command, scene: Scene, environment: Mapping[str, str], output: Path
    ) -> None:
        self.command, self._output = command, output
        self._began = time.monotonic()
        out, err = output.with_suffix(".out"), output.with_suffix(".err")
        with out.open("wb") as out_file, err.open("wb") as err_file:
            self.process = subprocess.Popen(
                [*rnnlm(), *command.words],
                cwd=scene.home,
                env={**environment},
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._output.with_suffix(".out").read_text("utf-8", "replace")

    def finish(self) -> Run:
        try:
            status: int | None = self.process.wait(self.command.limit)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        seconds = time.monotonic() - self._began
        err = self._output.with_suffix(".err").read_text("utf-8", "replace")
        return Run(status, self.out, err, seconds)


def _act_when_stopped(fault: Fault, scene: Scene, started: _Started) -> None:
    """In a thread, wait until a process of the case stops; then act, and let it continue."""

    def watch() -> None:
        while started.process.poll() is None:
            for process in processes(scene.mark):
                with contextlib.suppress(psutil.Error):
                    if process.status() == psutil.STATUS_STOPPED:
                        assert fault.act is not None
                        fault.act(scene)
                        process.resume()
                        return
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()


def _use_served(started: _Started, scene: Scene, fault: Fault | None) -> None:
    """Wait until a command that serves is ready; let the fault act; ask the command to end.

    If the command survives the fault, its servers must answer again; if they do not, the command
    is killed, so that it counts as failed.
    """
    if not _comes_true(lambda: started.command.ready in started.out, started):
        return
    if fault and fault.act and not fault.moment:
        fault.act(scene)
        time.sleep(ACTED_SECONDS)
        addresses = _ADDRESS.findall(started.out)
        if not _comes_true(lambda: all(responds(f"{one}/health") for one in addresses), started):
            kill_all(scene.mark)
    if started.process.poll() is None:
        started.process.terminate()


def _comes_true(condition: Callable[[], bool], started: _Started) -> bool:
    """Wait until a condition holds or a command ends; return False if neither happens in time."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if started.process.poll() is not None or condition():
            return True
        time.sleep(0.5)
    return False


def _wait_for_the_rest(mark: str) -> list[str]:
    """Wait until all processes of a case have ended; return the command lines of the others."""
    deadline = time.monotonic() + END_SECONDS
    while (left := [*processes(mark)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    names = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            names.append(" ".join(process.cmdline())[:100])
    return names
