"""Test which sockets commands listen on and connect to, by tracing them in a network namespace."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, write_tiny
from tests.flows.serving import RNNLM, wait_until

pytestmark = [pytest.mark.service, pytest.mark.slow]

IN_A_NETWORK_OF_ITS_OWN = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
CALLS = "trace=bind,listen,connect,sendto,sendmsg,sendmmsg"
PREFECT_YAML = """
deployments:
  - name: often
    entrypoint: {home}/flow.py:flow
    parameters: {{config: a.toml}}
    work_pool: {{name: rnnlm}}
    schedules: [{{interval: 3}}]
"""
FLOW = """
import os
from pathlib import Path

import httpx
from prefect import flow


@flow
def flow(config="x", trigger="manual"):
    api = os.environ["PREFECT_API_URL"]  # the page of a work pool asks for this
    httpx.get(f"{api}/collections/views/aggregate-worker-metadata").raise_for_status()
    Path("ran").touch()
"""


@dataclass(frozen=True)
class Sockets:
    """The sockets that a command and its children used, except Unix sockets.

    Attributes:
        listened: Maps `address:port` of every listening socket to the thread that opened it. The
            key is "unbound" for a socket that listens without bind, which means on all interfaces.
        called: `address:port` of every destination, whether or not it was reached.
    """

    listened: dict[str, int]
    called: frozenset[str]

    def beyond_loopback(self) -> set[str]:
        """Return non-loopback endpoints and DNS lookups."""
        outside = {place for place in {*self.listened} | self.called if not _is_loopback(place)}
        return outside | {place for place in self.called if place.endswith(":53")}


def _is_loopback(place: str) -> bool:
    address, _, _ = place.rpartition(":")
    return place != "unbound" and ip_address(address).is_loopback


def read_trace(trace: Path) -> Sockets:
    """Return the sockets that are recorded in a trace file of strace."""
    listened: dict[str, int] = {}
    called: set[str] = set()
    address = re.compile(
        r"sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"(?P<to>[^\"]+)"
    )
    for line in trace.read_text("utf-8", "replace").splitlines():
        call = re.match(r"(\d+) +(\w+)\(", line)
        if call is None:
            continue
        if call[2] == "listen":
            bound = re.match(r"\d+ +listen\(\d+<(\w+)[^:]*:\[\[?([^\]]*)\]?(:\d+)?", line)
            if bound is None or bound[1].startswith("UNIX"):
                assert "UNIX" in line or bound is not None, line
                continue
            place = bound[2] + (bound[3] or "")
            listened[place if ":" in place else "unbound"] = int(call[1])
        elif call[2] != "bind":
            called |= {f"{found['to']}:{found['port']}" for found in address.finditer(line)}
    return Sockets(listened, frozenset(called))


def traced(home: Path, *arguments: str) -> tuple[list[str], dict[str, str], Path]:
    """Return a command line that runs rnnlm under strace, its environment and its trace file.

    The environment is that of a user, without the variables that the tests set.
    """
    if shutil.which("strace") is None:
        pytest.skip("no strace here (apt-get install strace)")
    if subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here (they need root and iproute2)")
    trace = home / f"trace-{arguments[0]}"
    strace = ["strace", "-f", "--seccomp-bpf", "-yy", "-e", CALLS, "-o", str(trace)]
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RNNLM_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    return [*IN_A_NETWORK_OF_ITS_OWN, *strace, str(RNNLM), *arguments], settings, trace


def run_traced(home: Path, cwd: Path, *arguments: str) -> Sockets:
    command, settings, trace = traced(home, *arguments)
    done = subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_trace(trace)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("network")


def test_the_demo_calls_no_other_machine_and_listens_on_one_loopback_port(home: Path):
    brief = ("--set", "training.budget=2 epochs", "--set", "gate.beat_ngrams=false")
    sockets = run_traced(home, ROOT, "train", "configs/colors-demo.toml", *brief)  # as `make demo`
    assert sockets.beyond_loopback() == set()
    assert len(sockets.listened) == 1, (
        sockets.listened
    )  # that of the Prefect server for this command
    assert sockets.called


@pytest.mark.soak
def test_workers_listen_on_no_port(home: Path):
    options = ("--count", "3000", "--shard-size", "500", "--workers", "2")
    sockets = run_traced(home, home, "generate", "colors-demo", *options)
    assert sockets.beyond_loopback() == set()
    assert len(sockets.listened) == 1, sockets.listened


@pytest.mark.soak
def test_processes_that_train_together_talk_over_loopback(home: Path):
    write_tiny(home)
    options = ("--set", "training.processes=2", "--set", "training.budget=1 epoch")
    sockets = run_traced(home, home, "train", "tiny.toml", *options)
    assert sockets.beyond_loopback() == set()
    assert len(sockets.listened) >= 3, (
        sockets.listened
    )  # Prefect's, and one of each training process


@pytest.mark.soak
def test_serve_calls_no_other_machine_and_listens_only_on_two_ports_and_run_channels(home: Path):
    (home / "flow.py").write_text(FLOW)
    (home / "prefect.yaml").write_text(PREFECT_YAML.format(home=home))
    command, settings, trace = traced(home, "serve")
    with subprocess.Popen(command, cwd=home, env=settings, stdout=subprocess.PIPE) as serving:
        try:
            wait_until((home / "ran").exists, "a scheduled run", seconds=300)  # traced, so slow
            tree = psutil.Process(serving.pid).children(recursive=True)
            workers = [one for one in tree if "worker" in one.cmdline()]
            worker = min(
                workers, key=psutil.Process.create_time
            )  # not a run that the worker has just forked
            of_worker = {thread.id for thread in worker.threads()}
        finally:
            for process in ours(serving.pid):
                process.send_signal(signal.SIGTERM)
            serving.communicate(timeout=60)
    sockets = read_trace(trace)
    assert sockets.beyond_loopback() == set()
    pages = {"127.0.0.1:4200", "127.0.0.1:5000"}
    others = {place: thread for place, thread in sockets.listened.items() if place not in pages}
    assert pages <= {*sockets.listened}
    assert {*others.values()} <= of_worker  # its control channels to runs, which require a token


def ours(strace: int) -> Iterator[psutil.Process]:
    """Yield the process of `rnnlm serve` among the children of an strace process."""
    for process in psutil.Process(strace).children(recursive=False):
        with suppress(psutil.Error):
            if "serve" in process.cmdline():
                yield process


def test_a_trace_is_parsed(tmp_path: Path):
    (tmp_path / "trace").write_text(
        """
1 bind(3<TCP:[11]>, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
1 listen(3<TCP:[127.0.0.1:4200]>, 2048) = 0
2 listen(4<TCPv6:[[::1]:5000]>, 128) = 0
2 listen(5<TCP:[33]>, 128) = 0
2 listen(6<UNIX-STREAM:[44]>, 128) = 0
2 listen(7<TCP:[0.0.0.0:29500]>, 128) = 0
3 connect(5<TCP:[9]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH
3 sendto(5<UDP:[9]>, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 1
3 connect(5<TCPv6:[9]>, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1
3 connect(5<UNIX-STREAM:[9]>, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1
"""  # noqa: E501
    )
    sockets = read_trace(tmp_path / "trace")
    assert {*sockets.listened} == {"127.0.0.1:4200", "::1:5000", "unbound", "0.0.0.0:29500"}
    assert sockets.beyond_loopback() == {
        "unbound",
        "0.0.0.0:29500",
        "192.0.2.1:443",
        "127.0.0.53:53",
        "2001:db8::1:80",
    }
