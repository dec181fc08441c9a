"""Measure what it costs to check contents before they are used.

    python benchmarks/checksums.py run [SETTING=VALUE …]   share of a run of colors-demo.toml
    python benchmarks/checksums.py tokens                  cost for 100 MB of text, and of training

Times are CPU seconds of this process, so that other processes matter little. `run` needs the
colours of XKCD, which are downloaded, or read from the folder that RNNLM_CORPORA names.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from flows.chain.stage import Run
from flows.chain.stages import CHAIN
from flows.retrain import take
from flows.runtime.home import Home
from flows.runtime.reporting import ProgressArtifact
from rnnlm import checkpoint, checksums, storage
from rnnlm.config import CorpusConfig, SplitConfig, TokenizerConfig, load
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.dataset import tokenize
from rnnlm.training.api import train

BYTES = 100_000_000


def main() -> None:
    """Run the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["run", "tokens"])
    parser.add_argument("settings", nargs="*", help="changes to the configuration of `run`")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        if given.part == "run":
            run(Path(folder), given.settings)
        else:
            tokens(Path(folder))


def run(folder: Path, settings: list[str]) -> None:
    """Print the checks' share of the time of a first run, and of a run with all results cached."""
    os.environ.update(RNNLM_HOME=str(folder), OMP_NUM_THREADS="1")
    ProgressArtifact.FIRST_SECONDS = 1e9  # a progress bar would need a Prefect server
    experiment = load(Path("configs/colors-demo.toml"), settings)
    spent = Spent()
    for what in ("first run", "cached run"):
        spent.seconds = 0.0
        began = time.process_time()
        take(Run(Home(folder), experiment), CHAIN)
        total = time.process_time() - began
        print(
            f"{what:<12} {total:7.2f} s of CPU time, checks {1000 * spent.seconds:6.1f} ms, "
            f"{spent.seconds / total:.2%}",
            flush=True,
        )


class Spent:
    """CPU time spent on digests; all functions that compute them are replaced by timed ones."""

    def __init__(self) -> None:
        """Replace the functions."""
        self.seconds = 0.0
        for module, name in ((hashlib, "file_digest"), (checkpoint, "_digest")):
            setattr(module, name, self._timed(getattr(module, name)))
        for module in (checksums, storage):
            module.value_digest = self._timed(module.value_digest)  # type: ignore[attr-defined]

    def _timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*arguments)
            finally:
                self.seconds += time.thread_time() - began

        return timed


def tokens(folder: Path) -> None:
    """Print what the checks of 100 MB of text cost, and what training on a million tokens takes."""
    words = ["red", "blue", "warm", "grey", "pale", "pink", "dark", "teal", "old", "rose"]
    with (folder / "text.txt").open("w") as file:
        for n in range(BYTES // 19):
            file.write(f"{words[n % 10]} {words[n // 10 % 10]} {n * 2654435761 % 2**32:08x}\n")
    config = CorpusConfig(source=str(folder / "text.txt"), documents="lines")
    corpus = ingest(locate(config, folder), config, SplitConfig(), folder / "corpus")
    kind = TokenizerConfig(kind="character")
    made = tokenize(corpus.uri, corpus.digest, kind, folder / "tokens")
    for name in ("corpus", "tokens"):
        files = checksums.list_files(folder / name)
        size = sum((folder / name / file).stat().st_size for file in files)
        seconds = cpu(lambda name=name, files=files: checksums.first_fault(folder / name, files))
        print(f"{name:<24} {size / 1e6:6.1f} MB   sha256 {1000 * seconds:7.1f} ms", flush=True)
    shards = sorted((folder / "tokens").glob("tokens-train-*.parquet"))
    for verified in (False, True):
        seconds = min(cpu(lambda v=verified: _read(shards, v)) for _ in range(3))
        print(f"read, pages verified: {verified!s:<5} {1000 * seconds:7.1f} ms", flush=True)
    settings = ["training.budget=1M tokens", "training.feed=stream", "training.device=cpu"]
    experiment = load(Path("configs/colors-demo.toml"), settings)
    seconds = cpu(lambda: train(made.uri, experiment, folder / "model"))
    print(f"training on a million tokens {seconds:5.1f} s", flush=True)


def _read(shards: list[Path], verified: bool) -> None:
    for path in shards:
        pq.read_table(path, page_checksum_verification=verified)


def cpu(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of this process that a call takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
