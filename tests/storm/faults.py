"""The faults of the storm: what goes wrong, by family."""

import contextlib
import errno
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from tests.storm.cases import Command, Fault, Moment, Scene
from tests.storm.injecting import processes

KILLED, SIGNALS, DISKS = "killed at a system call", "signals", "full and read-only disks"
READING, DAMAGED, DATABASES = "I/O errors", "damaged files", "damaged databases"
SERVERS, WORKERS, LOCKED = "killed servers", "killed workers", "locked databases"
CLOCKS, REMOVED, TWO = "clock jumps", "folders removed under it", "two commands at once"

Calls = Sequence[tuple[int, str, str]]
_VARIABLE = re.compile(r"[0-9a-f]{8,}|[0-9]+")


def spread(calls: Calls, count: int, rng: random.Random) -> list[tuple[int, str]]:
    """Choose calls so that each kind of call on each kind of file is hit before any is hit twice.

    Args:
        calls: All calls of a run.
        count: How many to choose.
        rng: Random numbers.

    Returns:
        Numbers of calls, each with words that describe it.
    """
    groups = defaultdict(list)
    for number, call, path in calls:
        place = re.sub(r"artifacts/code/.*", "artifacts/code/…", _VARIABLE.sub("#", path))
        groups[call, place].append(number)
    kinds = sorted(groups)
    rng.shuffle(kinds)
    chosen: list[tuple[int, str]] = []
    while kinds and len(chosen) < count:
        chosen += [(rng.choice(groups[kind]), f"{kind[0]} {kind[1]}") for kind in kinds]
    return chosen[:count]


def at_calls(
    family: str, name: str, do: str, calls: Calls, count: int, rng: random.Random, **moment: object
) -> list[Fault]:
    """Return faults of one sort at different system calls."""
    reads, who = bool(moment.get("reads")), str(moment.get("who", "command"))
    return [
        Fault(family, f"{name} at {what} ({number})", Moment(number, do, who, reads))
        for number, what in spread(calls, count, rng)
    ]


def killed(calls: Calls, count: int, rng: random.Random, who: str = "command") -> list[Fault]:
    """Return faults that kill a process before a call or, in a third of them, in the middle."""
    family = KILLED if who == "command" else WORKERS
    torn = at_calls(family, f"torn {who}", "tear", calls, count // 3, rng, who=who)
    return torn + at_calls(family, f"killed {who}", "kill", calls, count - len(torn), rng, who=who)


def disks(calls: Calls, count: int, rng: random.Random) -> list[Fault]:
    """Return faults of the disk: it becomes full or read-only, or a write fails once."""
    faults = []
    for number, (name, do) in enumerate([
        ("full disk from", f"errors:{errno.ENOSPC}"),
        ("I/O error", f"error:{errno.EIO}"),
        ("read-only disk from", f"errors:{errno.EROFS}"),
    ]):  # fmt: skip
        share = count // 3 + (number < count % 3)
        family = READING if "I/O" in name else DISKS
        faults += at_calls(family, name, do, calls, share, rng)
    return faults


def unreadable(calls: Calls, count: int, rng: random.Random) -> list[Fault]:
    """Return faults in which a file cannot be opened for reading, once."""
    return at_calls(READING, "I/O error", f"error:{errno.EIO}", calls, count, rng, reads=True)


def signals(calls: Calls, count: int, rng: random.Random) -> list[Fault]:
    """Return faults that send a signal to the command."""
    kinds = ["TERM", "INT", "HUP", "PIPE", "QUIT", "STOP", "KILL", "USR1"]
    found = []
    for index, (number, what) in enumerate(spread(calls, count, rng)):
        kind = kinds[index % len(kinds)]
        name = f"SIG{kind} at {what} ({number})"
        if kind == "STOP":
            found.append(Fault(SIGNALS, name, Moment(number, "stop"), lambda _: time.sleep(3)))
        else:
            do = f"signal:{int(signal.Signals[f'SIG{kind}'])}"
            found.append(Fault(SIGNALS, name, Moment(number, do)))
    return found


def clocks(calls: Calls, count: int, rng: random.Random) -> list[Fault]:
    """Return faults in which the clock jumps while the command runs."""
    jumps = [("an hour back", -3600), ("a day ahead", 86_400), ("ten years back", -315_360_000)]
    found = []
    for index, (number, what) in enumerate(spread(calls, count, rng)):
        name, seconds = jumps[index % len(jumps)]
        moment = Moment(number, f"clock:{seconds}")
        found.append(Fault(CLOCKS, f"{name} at {what} ({number})", moment))
    return found


def servers(calls: Calls, count: int, rng: random.Random) -> list[Fault]:
    """Return faults that kill the embedded Prefect server while the command makes a call."""
    kinds = [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGKILL]
    found = []
    for index, (number, what) in enumerate(spread(calls, count, rng)):
        kind = kinds[index % len(kinds)]
        act = killing("prefect_server", kind)
        found.append(
            Fault(SERVERS, f"server {kind.name} at {what} ({number})", Moment(number, "stop"), act)
        )
    return found


def killing(words: str, kind: signal.Signals) -> Callable[[Scene], None]:
    """Return an act that sends a signal to the processes whose command line has these words."""

    def act(scene: Scene) -> None:
        for process in processes(scene.mark):
            with contextlib.suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    process.send_signal(kind)
                    scene.notes.append(f"{kind.name} to {process.pid}")

    return act


def removing(pattern: str) -> Callable[[Scene], None]:
    """Return an act that removes the folders that match a pattern."""

    def act(scene: Scene) -> None:
        for path in scene.home.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
            scene.notes.append(f"removed {path.name}")

    return act


def removed(calls: Calls, count: int, rng: random.Random, pattern: str) -> list[Fault]:
    """Return faults that remove a folder while the command works in it."""
    act = removing(pattern)
    return [
        Fault(
            REMOVED, f"{pattern} at {what} ({number})", Moment(number, "stop"), act, destroys=True
        )
        for number, what in spread(calls, count, rng)
    ]


DAMAGES = ("flipped", "cut", "emptied", "swapped", "zeroed", "removed")


def damaged(
    family: str, files: Sequence[str], kinds: Sequence[str], *, may_refuse: bool = False
) -> list[Fault]:
    """Return faults that damage files before the command runs, in each of several ways.

    Args:
        family: The family.
        files: Patterns of files relative to the home; the first file that matches is damaged.
        kinds: Names from `DAMAGES`.
        may_refuse: Whether the file cannot be made again.
    """
    return [
        Fault(family, f"{kind} {file}", around=_damage(file, kind), may_refuse=may_refuse)
        for file in files
        for kind in kinds
    ]


def _damage(pattern: str, kind: str) -> Callable[[Scene], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def around(scene: Scene) -> Iterator[None]:
        found = sorted(scene.home.glob(pattern))
        if not found:
            raise FileNotFoundError(f"no file matches {pattern}")
        damage(found[0], kind)
        yield

    return around


def damage(path: Path, kind: str) -> None:
    """Damage a file, and give it its former modification time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    if kind == "removed":
        path.unlink()
        return
    if kind == "flipped":
        content[len(content) * 2 // 3] ^= 1
    elif kind == "cut":
        del content[len(content) // 2 :]
    elif kind == "emptied":
        content.clear()
    elif kind == "zeroed":
        content[: len(content)] = bytes(len(content))
    elif kind == "swapped":  # two halves of the file, as if two blocks were exchanged
        half = len(content) // 2
        content[:] = content[half:] + content[:half]
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def locked(database: str, seconds: float) -> Fault:
    """Return a fault in which another process locks a database as soon as the database exists."""

    @contextlib.contextmanager
    def around(scene: Scene) -> Iterator[None]:
        holder = subprocess.Popen(
            ["python3", "-c", _HOLD, str(scene.home / database), str(seconds)],
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        if (scene.home / database).exists():
            holder.stdout.readline()
        try:
            yield
        finally:
            holder.kill()
            holder.wait()

    return Fault(LOCKED, f"{database} for {seconds:.0f} s", around=around)


_HOLD = """
import pathlib, sqlite3, sys, time
database = pathlib.Path(sys.argv[1])
while not (database.exists() and database.stat().st_size):
    time.sleep(0.01)
connection = sqlite3.connect(database, isolation_level=None, timeout=60)
connection.execute("begin exclusive")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def mounted(free: int, *, read_only: bool = False) -> Fault:
    """Return a fault that mounts the home on a nearly full or read-only file system; needs root."""

    @contextlib.contextmanager
    def around(scene: Scene) -> Iterator[None]:
        kept = scene.home.with_suffix(".kept")
        scene.home.rename(kept)
        scene.home.mkdir()
        used = int(subprocess.check_output(["du", "-sk", str(kept)]).split()[0])
        size = f"size={used * 5 // 4 + 64_000}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "storm", str(scene.home)], check=True)
        try:
            subprocess.run(["cp", "-a", f"{kept}/.", str(scene.home)], check=True)
            if read_only:
                subprocess.run(["mount", "-o", "remount,ro", str(scene.home)], check=True)
            else:
                filler = scene.home / "filler"
                left = shutil.disk_usage(scene.home).free - free
                with filler.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, left)
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(scene.home)], check=True)
            (scene.home / "filler").unlink(missing_ok=True)
            shutil.rmtree(kept)
            subprocess.run(["cp", "-a", f"{scene.home}/.", str(kept)], check=True)
            subprocess.run(["umount", "-l", str(scene.home)], check=True)
            scene.home.rmdir()
            kept.rename(scene.home)

    name = "read-only file system" if read_only else f"file system with {free // 1000:,} kB left"
    return Fault(DISKS, name, around=around)


def beside(command: Command) -> Fault:
    """Return a fault: another command runs at the same time."""
    return Fault(TWO, f"with {command.name}", beside=command)


def is_broken(database: Path) -> bool:
    """Return whether SQLite finds a database damaged."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return bool(connection.execute("pragma quick_check").fetchone() != ("ok",))
    except sqlite3.DatabaseError:
        return True
