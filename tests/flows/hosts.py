"""Hosts for tests: network, mount and UTS namespaces of this machine.

Each host has its own name and network address, and sees a shared folder at a path of its own, as
machines do that mount one NFS export in different places.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.flows.serving import RNNLM, environment

SHARE = """
hostname "$1" && mkdir -p "$3" && mount --make-rprivate / && mount --bind "$2" "$3" &&
mount -t tmpfs none "$2" && cd "$3" && shift 3 && exec "$@"
"""
_MARK = "RNNLM_TEST_HOST"


@dataclass
class Host:
    """A host; the shared folder is `home` on it.

    Attributes:
        name: Its name.
        address: Its address on the network.
        interface: Its network interface.
        server: Address at which it reaches the servers on this machine.
        shared: Path of the shared folder on this machine, which the host does not see.
        home: Path of the shared folder on the host.
    """

    name: str
    address: str
    interface: str
    server: str
    shared: Path
    home: Path
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
        """Start `rnnlm` on the host."""
        return self.run(str(RNNLM), *arguments, **settings)

    def run(self, *command: str, **settings: str) -> "subprocess.Popen[str]":
        """Start a command on the host, with the environment variables `settings`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        inside = ["unshare", "--mount", "--uts", "sh", "-c", SHARE, "sh"]
        inside += [self.name, str(self.shared), str(self.home), *command]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *inside],
            env={
                **kept,
                "RNNLM_HOME": str(self.home),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                _MARK: self.name,
                **settings,
            },
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
        )
        self.started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the host."""
        return [
            process
            for process in psutil.process_iter()
            if environment(process).get(_MARK) == self.name
        ]

    def go_down(self) -> None:
        """Kill all processes at once, as when the power fails."""
        found = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped, none sees the others end
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        for started in self.started:
            started.wait(timeout=30)
            if started.stdout:
                started.stdout.close()
        self.started.clear()


@contextlib.contextmanager
def hosts(shared: Path, folder: Path, count: int) -> Iterator[list[Host]]:
    """Yield hosts that share a folder and reach each other and the servers on this machine.

    Args:
        shared: The folder.
        folder: Where the hosts mount it, each at a path of its own.
        count: Number of hosts.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("namespaces need root and the command ip (apt-get install iproute2)")
    number = os.getpid() % 10000
    bridge, net = f"rnnlm{number}", f"10.213.{number % 250}"
    made: list[Host] = []
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for place in range(count):
            name, address = f"{bridge}-{place}", f"{net}.{place + 2}"
            outer, inner = f"o{number}-{place}", f"i{number}-{place}"
            _ip("netns", "add", name)
            made.append(Host(name, address, inner, f"{net}.1", shared, folder / name / "home"))
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
            _ip("link", "set", outer, "master", bridge, "up")
            for words in (
                ("address", "add", f"{address}/24", "dev", inner),
                ("link", "set", inner, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", name, *words)
        yield made
    finally:
        for host in made:
            host.go_down()
            _ip("netns", "delete", host.name)
        for link in (bridge, *(f"o{number}-{place}" for place in range(count))):
            # at once: the kernel deletes the links of a namespace some time later
            subprocess.run(["ip", "link", "delete", link], capture_output=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip("network namespaces are not permitted here")
    assert done.returncode == 0, done.stderr
