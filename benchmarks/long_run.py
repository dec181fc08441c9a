"""Keep servers busy for an hour, and see whether they grow.

    python benchmarks/long_run.py [--minutes 60] [--folder FOLDER] [--json FILE]

`rnnlm serve` runs in a new home. Meanwhile, one round after the other trains a model on a corpus
that has changed, generates texts, promotes the new version, and removes what is older than some
rounds. After each round the script adds up what the servers' processes hold (memory that they have
allocated, without the files that they map; open files and sockets; threads) and what lies on disk.
Other programs that map the same libraries do not change these figures. The first third of the time
is for warming up. In the other two thirds, the medians of the first and of the last half must not
differ by more than 5%, or by two where the numbers are small; otherwise the exit status is 1. It
needs Linux, to tell allocated memory from mapped files.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.month import CONFIG, FIRST_DAY, survey

RNNLM = str(Path(sys.executable).with_name("rnnlm"))
MOST_GROWTH = 0.05
FEW = 2.0
"""Growth that is allowed whatever the share: two more descriptors or threads, two megabytes."""
KEPT_VERSIONS = 3
KEPT_MINUTES = 0.1
"""So few that the number of versions decides what is kept, however fast the rounds are."""
WARM_UP = 1 / 3


class Held(NamedTuple):
    """What the servers hold and the home takes after a round.

    Attributes:
        minute: Minutes since the servers were up.
        memory: Megabytes of allocated (anonymous) memory.
        descriptors: Open files and sockets.
        threads: Threads.
        disk: Megabytes in the home.
    """

    minute: float
    memory: float
    descriptors: float
    threads: float
    disk: float


def main() -> int:
    """Run rounds until the time is over; print a line per round and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(served(folder))
        print(
            f"{'round':>5} {'min':>5} {'MB memory':>10} {'files':>6} {'threads':>8} {'MB disk':>8}"
        )
        held: list[Held] = []
        began = time.monotonic()
        while time.monotonic() - began < 60 * asked.minutes:
            live(folder, len(held))
            held.append(measure(servers, folder, (time.monotonic() - began) / 60))
            minute, memory, *counts, disk = held[-1]
            files, threads = (f"{count:.0f}" for count in counts)
            line = f"{minute:5.1f} {memory:10.1f} {files:>6} {threads:>8} {disk:8.1f}"
            print(f"{len(held):>5} {line}", flush=True)
    grown = growth(held)
    for name, (early, late) in grown.items():
        print(f"  {name:<12} {early:8.1f} → {late:8.1f}  {late / early - 1:+6.1%}")
    if asked.json:
        asked.json.write_text(json.dumps([row._asdict() for row in held], indent=1))
    return int(any(late - early > max(FEW, MOST_GROWTH * early) for early, late in grown.values()))


def growth(held: Sequence[Held]) -> dict[str, tuple[float, float]]:
    """Return for each measure its medians in the first and last half of the time after warm-up."""
    last = held[-1].minute
    warm = [row for row in held if row.minute >= WARM_UP * last]
    middle = last * (1 + WARM_UP) / 2
    early = [row for row in warm if row.minute < middle]
    late = [row for row in warm if row.minute >= middle]

    def median(rows: Sequence[Held], name: str) -> float:
        return statistics.median(getattr(row, name) for row in rows)

    return {name: (median(early, name), median(late, name)) for name in Held._fields[1:]}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[psutil.Process]:
    """Run `rnnlm serve` in a home; yield its process once the servers answer."""
    command = [RNNLM, "serve", "--json"]
    log = (folder / "serve.log").open("w", encoding="utf-8")
    with log, subprocess.Popen(
        command, env=environment(folder), cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                sys.exit((folder / "serve.log").read_text("utf-8"))
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of commands in a home, without settings of this one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    return {**kept, "RNNLM_HOME": str(folder), "OMP_NUM_THREADS": "1"}


def live(folder: Path, number: int) -> None:
    """Train on a corpus of its own, generate, promote and clean up, each by its command.

    The data set is deleted, as a user would do who has sent it on.
    """
    colors = survey()
    first = 13 * number % len(colors)
    text, config = folder / "colors.txt", folder / "colors.toml"
    text.write_text("\n".join((colors[first:] + colors[:first])[:FIRST_DAY]) + "\n", "utf-8")
    config.write_text(CONFIG.format(source=text, budget="6 epochs", compare=0), "utf-8")
    trained = json.loads(command(folder, "train", str(config), "--json"))
    texts = folder / "texts"
    command(
        folder, "generate", "colors", "--count", "300", "--seed", str(number), "--out", str(texts)
    )
    shutil.rmtree(texts)  # housekeeping keeps data sets, and the versions that generated them
    command(folder, "promote", "colors", str(trained["version"]))
    days = KEPT_MINUTES / (24 * 60)
    keep = ["--keep-days", f"{days:.6f}", "--keep-versions", str(KEPT_VERSIONS)]
    command(folder, "housekeeping", "--apply", *keep)


def command(folder: Path, *words: str) -> str:
    """Run a command in the home; return what it prints."""
    done = subprocess.run(
        [RNNLM, *words],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"rnnlm {' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def measure(servers: psutil.Process, folder: Path, minute: float) -> Held:
    """Add up what the processes of the servers hold, and what lies in the home."""
    memory = descriptors = threads = 0.0
    for process in [servers, *servers.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += sum(part.anonymous for part in process.memory_maps()) / 1e6
            descriptors += process.num_fds()
            threads += process.num_threads()
    disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return Held(minute, memory, descriptors, threads, disk)


if __name__ == "__main__":
    sys.exit(main())
