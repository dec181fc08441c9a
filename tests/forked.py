"""Commands in separate processes, forked from one that has imported everything.

Importing PyTorch, MLflow and Prefect and starting a Prefect server takes a command several times
longer than its work on a tiny corpus. Here a fork server imports once, and one Prefect server
serves all commands. Tests of what a command does when it starts use `tests.conftest.run_cli`.
"""

import atexit
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from flows.runtime.home import Home
from flows.servers.embedded import PrefectServer, configure

TIMEOUT_SECONDS = 300
_SETTINGS = ("PREFECT_", "MLFLOW_")
_started: dict[str, Any] = {}


def run_forked(
    arguments: tuple[str, ...], home: Path, environment: Mapping[str, str]
) -> tuple[int, str, str]:
    """Run the command line in a forked process; return its status, output and errors."""
    shared = _start()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
    settings = {**kept, **shared, "RNNLM_HOME": str(home), **environment}
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=_run, args=(arguments, home, settings, out, err))
        process.start()
        process.join(TIMEOUT_SECONDS)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"rnnlm {' '.join(arguments)}: {err.read_text('utf-8')}")
        assert process.exitcode is not None
        return process.exitcode, out.read_text("utf-8"), err.read_text("utf-8")


def _start() -> Mapping[str, str]:
    """Start the Prefect server and the fork server; return the settings that name the former."""
    if _started:
        settings: Mapping[str, str] = _started["settings"]
        return settings
    home = Home(Path(tempfile.mkdtemp(prefix="rnnlm-prefect-")))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
            patch.delenv(name)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RNNLM_HOME", str(home.root))
        before = {**os.environ}
        configure(home)
        server = PrefectServer(home)
        os.environ["PREFECT_API_URL"] = server.url
        os.environ["PREFECT_API_AUTH_STRING"] = server.credentials
        multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.preloaded"])
        forkserver.ensure_running()  # it imports while the server starts, with these settings
        settings = {k: v for k, v in os.environ.items() if k not in before or k.startswith("OMP_")}
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
    server.wait()
    atexit.register(shutil.rmtree, home.root, ignore_errors=True)
    atexit.register(server.stop)  # before the other
    _started.update(settings=settings, server=server)
    return settings


def _run(
    arguments: tuple[str, ...], home: Path, settings: dict[str, str], out: Path, err: Path
) -> None:
    """Run the command line in this process, which was forked for it."""
    for path, number in ((out, 1), (err, 2)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(settings)
    os.chdir(home)
    sys.argv[:] = ["rnnlm", *arguments]
    from flows.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()
