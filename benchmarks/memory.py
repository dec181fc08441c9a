"""Measure how much memory each step of `rnnlm train` needs for a long text.

    python benchmarks/memory.py [--size 1GB] [--folder FOLDER] [--tokens character]

The script writes a text of this size: sentences from 200,000 words whose frequencies follow Zipf's
law, in hard-wrapped lines. Then it runs the steps of `rnnlm train` on the text, one after another,
each in a separate process without workers. Instead of training, the last step (`feed`) only reads a
twentieth of the windows (batches of tokens) that training reads. The column of memory is the peak
of RssAnon, the memory that a process needs; the column after it includes pages of mapped files,
which the system can reclaim at any time.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.autoconfig import advise
from rnnlm.batching import windows
from rnnlm.config import CorpusConfig, SplitConfig, TokenizerConfig, from_values
from rnnlm.corpora import ingestion
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens, load_split
from rnnlm.dataset import tokenize as tokenize_corpus
from rnnlm.report import write_report
from rnnlm.training.api import train

UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
WORDS = 200_000
BLOCK = 20_000_000
PARAGRAPH = 120
"""Number of words in a paragraph."""


@dataclass(frozen=True)
class Case:
    """What the steps run on.

    Attributes:
        folder: Folder for all files.
        kind: Kind of token.
    """

    folder: Path
    kind: str

    @property
    def text(self) -> Path:
        """Path of the text."""
        return self.folder / "text.txt"

    @property
    def corpus(self) -> Corpus:
        """The result of `ingest`."""
        return Corpus.model_validate_json((self.folder / "corpus.json").read_text())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1GB")
    parser.add_argument("--folder", type=Path, help="folder for the text and the steps' output")
    parser.add_argument("--tokens", default="character", choices=("character", "bpe", "word"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        measure(bytes_of(options.size), options.tokens, folder)
    finally:
        shutil.rmtree(folder)


def measure(size: int, kind: str, folder: Path) -> dict[str, int]:
    """Print a row for each step; return the peak memory of each in bytes.

    Args:
        size: Bytes of text.
        kind: Kind of token.
        folder: Folder for all files.
    """
    text = folder / "text.txt"
    write_text(text, size)
    print(f"{text.stat().st_size / 1e6:,.0f} MB of text, {kind} tokens")
    print(f"{'step':12}{'seconds':>9}{'MB/s':>8}{'memory MB':>11}{'with files MB':>15}")
    peaks = {}
    for step in (inspect, ingest, tokenize, count, report, feed):
        seconds, peak, mapped = in_own_process(step, Case(folder, kind))
        peaks[step.__name__] = peak
        rate = size / 1e6 / seconds
        print(
            f"{step.__name__:12}{seconds:9.1f}{rate:8.1f}{peak / 1e6:11,.0f}{mapped / 1e6:15,.0f}",
            flush=True,
        )
    return peaks


def bytes_of(size: str) -> int:
    """Return the number of bytes of a size such as `10GB`."""
    unit = next((unit for unit in UNITS if size.endswith(unit)), None)
    if unit is None:
        sys.exit(f"--size {size}: expected a number with kB, MB or GB, such as 10GB")
    return round(float(size.removesuffix(unit)) * UNITS[unit])


def write_text(path: Path, size: int) -> None:
    """Write about `size` bytes of made-up prose, always the same.

    One block is repeated with its letters substituted differently each time, so that no passage
    occurs twice.
    """
    block = _prose(min(size, BLOCK))
    consonants, vowels = "bcdfghklmnprstvw", "aeiou"
    with path.open("w") as file:
        for number in range(-(-size // BLOCK)):
            chance = np.random.default_rng(number)
            letters = "".join(chance.permutation([*consonants])) + "".join(
                chance.permutation([*vowels])
            )
            file.write(block.translate(str.maketrans(consonants + vowels, letters)))


def _prose(size: int) -> str:
    chance = np.random.default_rng(1)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    lengths = chance.integers(1, 5, WORDS)
    words = np.array(["".join(chance.choice(syllables, n)) for n in lengths], dtype=object)
    shares = 1.0 / np.arange(1, WORDS + 1)
    bounds = np.cumsum(shares / shares.sum())
    paragraphs: list[str] = []
    left = size
    while left > 0:
        drawn = words[np.searchsorted(bounds, chance.random(PARAGRAPH))]
        paragraphs.append("\n".join(textwrap.wrap(f"The {' '.join(drawn)}, end.", 72)))
        left -= len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs) + "\n\n"


def in_own_process(step: Callable[[Case], None], case: Case) -> tuple[float, int, int]:
    """Run a step in a separate process; return its seconds and two figures of its peak memory.

    The first figure excludes mapped files, the second includes them; both are in bytes.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (step, case))


def _measured(step: Callable[[Case], None], case: Case) -> tuple[float, int, int]:
    peak, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            peak[0] = max(peak[0], 1024 * int(status["RssAnon"].split()[0]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    step(case)
    seconds = time.perf_counter() - began
    is_over.set()
    watcher.join()
    return seconds, peak[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def inspect(case: Case) -> None:
    """Choose an experiment for the text, as `rnnlm inspect` does before it reads the whole text."""
    advise(str(case.text), case.folder / "cache")


def ingest(case: Case) -> None:
    """Turn the text into documents."""
    config = CorpusConfig.model_validate(
        {
            "source": str(case.text),
            "documents": "passages",
            "clean": {"unwrap": True, "near_duplicates": 0.8},
        }
    )
    files = locate(config, case.folder / "cache")
    splits = SplitConfig(validation=0.1, test=0.1)
    corpus = ingestion.ingest(files, config, splits, case.folder / "corpus")
    (case.folder / "corpus.json").write_text(corpus.model_dump_json())


def tokenize(case: Case) -> None:
    """Turn the documents into tokens."""
    corpus = case.corpus
    config = TokenizerConfig.model_validate({"kind": case.kind})
    tokens = tokenize_corpus(corpus.uri, corpus.digest, config, case.folder / "tokens")
    (case.folder / "tokens.json").write_text(tokens.model_dump_json())


def count(case: Case) -> None:
    """Count n-grams of the tokens."""
    experiment = from_values(
        {
            "name": "n-grams",
            "corpus": {"source": str(case.text)},
            "tokenizer": {"kind": case.kind},
            "model": {"architecture": "ngram"},
        },
        origin="benchmark",
    )
    train(str(case.folder / "tokens"), experiment, case.folder / "ngrams")


def report(case: Case) -> None:
    """Write the report on the corpus."""
    tokens = Tokens.model_validate_json((case.folder / "tokens.json").read_text())
    write_report("text", case.corpus, tokens, case.folder / "report")


def feed(case: Case) -> None:
    """Read a twentieth of the windows (batches of tokens) that training reads."""
    arrays = load_split(str(case.folder / "tokens"), "train")
    most = len(arrays.tokens) // 20
    for window in windows(arrays, "stream", 32, 64, np.random.default_rng(1)):
        most -= window.targets.numel()
        if most <= 0:
            return


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
