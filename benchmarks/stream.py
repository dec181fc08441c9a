"""Ingest and tokenize a text larger than a memory limit; check peak memory and identical output.

    python benchmarks/stream.py [--gigabytes 2] [--workers 2] [--json FILE]

The script writes a text file of random prose, ingests and tokenizes it to Parquet in separate
processes, and prints seconds and the peak of the resident memory of all these processes together,
sampled ten times a second. Then it does the same with one worker, kills that run in the middle,
resumes it, and checks that the Parquet files have the same bytes as those of the first run. The
text and all output are in a temporary folder (--folder names its parent), which is removed.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.memory import write_text

ROOT = Path(__file__).resolve().parent.parent
LIMIT_GB = 1.5

WORK = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from flows.runtime.workers import executor
from rnnlm.config import CorpusConfig, SplitConfig, TokenizerConfig
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.dataset import tokenize
if __name__ == "__main__":
    text, out = Path(sys.argv[2]), Path(sys.argv[3])
    config = CorpusConfig(source=str(text), documents="passages")
    files = locate(config, out)
    with executor(files[0].size) as workers:
        corpus = ingest(files, config, SplitConfig(), out / "corpus", executor=workers)
        print("ingested", flush=True)
        tokens = tokenize(
            corpus.uri, corpus.digest, TokenizerConfig(), out / "tokens", executor=workers
        )
    print(json.dumps({"corpus": corpus.digest, "tokens": tokens.tokens, **corpus.documents}))
"""


def run(text: Path, out: Path, workers: int, kill_at: int | None = None) -> dict[str, Any]:
    """Ingest and tokenize a text in a separate process.

    Args:
        text: The text file.
        out: Folder for the output.
        workers: Number of worker processes.
        kill_at: Kill the process once it has written this many Parquet files; None to let it end.

    Returns:
        Digest, counts, seconds and peak memory in gigabytes; empty if the process was killed.
    """
    environment = {
        "RNNLM_WORKERS": str(workers),
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(WORK)
        script.flush()
        process = psutil.Popen(
            [sys.executable, script.name, str(ROOT), str(text), str(out)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        peak = [0]
        watcher = threading.Thread(target=watch, args=(process, peak), daemon=True)
        watcher.start()
        while kill_at is not None and process.poll() is None:
            if len([*out.rglob("*.parquet")]) >= kill_at:
                for child in [process, *process.children(recursive=True)]:
                    child.send_signal(signal.SIGKILL)
                process.wait()
                return {}
            time.sleep(0.02)
        printed = process.communicate()[0].splitlines()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"the run failed with status {process.returncode}")
    seconds = time.monotonic() - began
    return {**json.loads(printed[-1]), "seconds": seconds, "peak_gb": peak[0] / 1e9}


def show(name: str, row: dict[str, Any], gigabytes: float) -> None:
    """Print a row of the table."""
    speed, tokens = gigabytes * 1e3 / row["seconds"], sum(row["tokens"].values())
    figures = f"{row['seconds']:>8.0f} {speed:>6.1f} {row['peak_gb']:>8.2f}  {tokens:,}"
    print(f"{name:<40} {figures}", flush=True)


def watch(process: psutil.Popen, peak: list[int]) -> None:
    """Record in `peak` the largest total resident memory, in bytes, of a process and its children.

    `peak` is a list of one number.
    """
    while process.poll() is None:
        total = 0
        try:
            for member in [process, *process.children(recursive=True)]:
                total += member.memory_info().rss
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-at", type=int, default=20, help="kill after this many shards")
    parser.add_argument("--folder", type=Path, help="folder with enough space for temporary files")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        text = folder / "prose.txt"
        write_text(text, int(options.gigabytes * 1e9))
        gigabytes = text.stat().st_size / 1e9
        print(f"{gigabytes:.2f} GB of text, passages of about 2,000 characters\n")
        print(f"{'workers':<40} {'seconds':>8} {'MB/s':>6} {'peak GB':>8}  tokens")
        together = run(text, folder / "together", options.workers)
        show(f"{options.workers} workers", together, gigabytes)
        alone = folder / "alone"
        run(text, alone, 1, kill_at=options.kill_at)
        kept = len([*(alone / "corpus" / "reading").glob("*.json")])
        resumed = run(text, alone, 1)
        show(f"1, with {kept} shards kept from a killed run", resumed, gigabytes)
        shards = [*(folder / "together").rglob("*.parquet")]
        same = all(
            (alone / path.relative_to(folder / "together")).read_bytes() == path.read_bytes()
            for path in shards
        )
        peak = max(together["peak_gb"], resumed["peak_gb"])
        print(f"\n{len(shards)} shards, all byte-identical: {'yes' if same else 'NO'}")
        print(f"peak below {LIMIT_GB} GB: {'yes' if peak < LIMIT_GB else 'NO'}")
    if options.json:
        figures = {"gigabytes": gigabytes, "together": together, "resumed": resumed, "same": same}
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
