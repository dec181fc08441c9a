"""A real Slurm cluster of two nodes on this machine, for tests."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.serving import free_port

NODES = ("n1", "n2")
_SETTINGS = ("PREFECT_", "MLFLOW_", "RNNLM_HOME")
"""Beginnings of the environment variables that jobs must not inherit."""
_DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")


class Slurm:
    """A running cluster.

    Attributes:
        environment: Environment variables of its commands.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Run a command such as `sbatch`; return its output."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
        environment = {**kept, **self.environment}
        done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wait(self, seconds: float) -> None:
        """Wait until no job is queued or running."""
        deadline = time.monotonic() + seconds
        while queue := self.run("squeue", "--noheader"):
            assert time.monotonic() < deadline, queue
            time.sleep(0.3)

    def state(self, job: str) -> str:
        """Return the state of a job, such as `COMPLETED`."""
        shown = self.run("scontrol", "show", "job", "--oneliner", job)
        return " ".join(word[9:] for word in shown.split() if word.startswith("JobState="))


@contextlib.contextmanager
def slurm(folder: Path, path: str) -> Iterator[Slurm]:
    """Run a cluster whose nodes have one core each; skip the test without Slurm or without root.

    Args:
        folder: Scratch folder.
        path: Value of `PATH` for its jobs.
    """
    if os.geteuid() or not all(map(shutil.which, _DAEMONS)):
        pytest.skip("no Slurm to start as root here (apt-get install slurm-wlm munge)")
    for name in ("state", "munge"):
        (folder / name).mkdir(parents=True)
    config, host = folder / "slurm.conf", socket.gethostname()
    key, secret = folder / "munge" / "key", folder / "munge" / "socket"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    nodes = [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=1"
        for name in NODES
    ]
    settings = {
        "ClusterName": "tests",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": free_port(),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={secret}",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool-%n",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd-%n.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd-%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "ReturnToService": 2,
        "MpiDefault": "none",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=2",
        "PartitionName": f"all Nodes={','.join(NODES)} Default=YES State=UP",
    }
    *lines, partition = (f"{name}={value}" for name, value in settings.items())
    config.write_text("\n".join([*lines, *nodes, partition]) + "\n")
    cluster = Slurm({"SLURM_CONF": str(config), "PATH": path})
    munge = [f"--{name}-file={folder}/munge/{name}" for name in ("pid", "log", "seed")]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={secret}", *munge],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", "-N", name] for name in NODES),
    ]
    environment = {**os.environ, **cluster.environment}
    with contextlib.ExitStack() as stack, (folder / "daemons.log").open("w") as log:
        for words in daemons:
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            while words[0] == "munged" and not secret.exists():
                assert process.poll() is None, (folder / "munge" / "log").read_text()
                time.sleep(0.05)
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["sinfo", "--noheader", "--states=idle"],
            env=environment,
            capture_output=True,
            check=False,
            text=True,
        ).stdout.split()[3:4] != [str(len(NODES))]:
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.2)
        yield cluster
