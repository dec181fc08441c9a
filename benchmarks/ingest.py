"""Measure how fast a text is ingested, step by step and compared with two other pipelines.

    python benchmarks/ingest.py FILE [--repeat N]

The first rows are the steps of ingestion on the same text, in megabytes of UTF-8 per CPU-second of
one core; of N runs, the fastest counts. The last of these rows is the whole ingestion, from the
file to Parquet, with all cleaning and the search for near copies. Repetitions in FILE make the last
steps cheaper, so use a text without any.

The rows after these compare pipelines that read the same passages from Parquet and write Parquet.
Each repairs mojibake, composes characters (NFC), and drops near copies by MinHash with 128 hashes
in 32 bands. Each runs once:
- this library: `ingest`, which reads each passage as a document;
- datatrove: FTFYFormatter and its four MinHash steps, with words split at white space (datatrove's
  own word tokenizer, spaCy, is slower);
- datasets.map: ftfy, then datasketch's MinHash and LSH over sequences of five words.
The last two get only the first 2 MB, because a run would otherwise take an hour. As near copies,
every twentieth passage is repeated at the end with one more word. `pip install '.[bench]'` installs
datatrove, datasets and datasketch.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import importlib.util
import io
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import pyarrow as pa
import pyarrow.parquet as pq

from rnnlm.config import CleaningConfig, CorpusConfig, SplitConfig
from rnnlm.corpora import cleaning, cutting, duplicates, splitting, unwrapping
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import detect
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from rnnlm.corpora.shingling import shingle_hashes

SPLITS = SplitConfig(validation=0.1, test=0.1)
PASSAGE = 2000
OTHERS_GET = 2_000_000
"""Approximate number of characters that the other two pipelines get, since they are slow."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    size = options.file.stat().st_size

    def measure(step: str, work: Callable[[], Any]) -> Any:
        seconds, result = float("inf"), None
        for _ in range(options.repeat):
            began = time.process_time()
            result = work()
            seconds = min(seconds, time.process_time() - began)
        print(f"{step:24}{size / seconds / 1e6:10.1f} MB/s")
        return result

    encoding = detect(options.file, "auto")
    data = options.file.read_bytes()
    text = measure("decode", lambda: decode(data, encoding, str(options.file)).text)
    text = measure("clean", lambda: cleaning.clean(text, CleaningConfig(), Counter()))
    text = measure("unwrap", lambda: unwrapping.unwrap(text)[0])
    parts = measure("split by paragraph", lambda: [*splitting.split_by_paragraph(text, SPLITS)])
    passages = measure(
        "cut into passages",
        lambda: [passage for part, _ in parts for passage in cutting.passages(part, PASSAGE)],
    )
    column = pa.array(passages, pa.large_string())
    measure("shingles", lambda: shingle_hashes(column))
    measure("shingles and MinHash", lambda: duplicates.signatures(column))
    corpus: Corpus = measure("all, to Parquet", lambda: _ingest(options.file))
    print(f"{sum(corpus.documents.values()):,} documents, digest {corpus.digest[:12]}")
    print("\nthe same passages, cleaned and without near copies, Parquet to Parquet")
    _beside("rnnlm", _by_rnnlm, passages)
    few = passages[: 1 + OTHERS_GET // PASSAGE]
    for name, module, work in (
        ("datatrove", "datatrove", _by_datatrove),
        ("datasets.map", "datasketch", _by_datasets),
    ):
        if importlib.util.find_spec(module):
            _beside(name, work, few)
        else:
            print(f"{name:24}   skipped: pip install '.[bench]'")


def _beside(name: str, work: Callable[[Path, Path], int], passages: list[str]) -> None:
    """Run one pipeline on the passages and near copies; print its rate and how many it keeps.

    Args:
        name: Name of the pipeline.
        work: Reads Parquet from the first folder, writes into the second, returns the number of
            passages kept.
        passages: The passages.
    """
    passages = [*passages, *(f"Now {passage}" for passage in passages[::20])]
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "in").mkdir()
        ids = [*map(str, range(len(passages)))]
        pq.write_table(pa.table({"id": ids, "text": passages}), folder / "in" / "0.parquet")
        began = time.process_time()
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            kept = work(folder / "in", folder)
        seconds = time.process_time() - began
    finally:
        shutil.rmtree(folder)
    size = sum(len(passage.encode()) for passage in passages)
    rate = size / seconds / 1e6
    print(f"{name:24}{rate:10.1f} MB/s   {kept:,} of {len(passages):,} passages kept")


def _by_rnnlm(source: Path, folder: Path) -> int:
    values = {"source": str(source), "documents": "whole", "clean": {"shortest": 1}}
    config = CorpusConfig.model_validate(values)
    corpus = ingest(locate(config, folder), config, SPLITS, folder / "out")
    return sum(corpus.documents.values())


def _by_datatrove(source: Path, folder: Path) -> int:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.formatters import FTFYFormatter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        """A tokenizer that splits text into words at white space."""

        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    at = {name: str(folder / name) for name in ("clean", "signed", "buckets", "remove", "out")}
    config = MinhashConfig(n_grams=5, num_buckets=32, hashes_per_bucket=4)

    def run(*steps: Any, tasks: int = 1) -> None:
        logs = tempfile.mkdtemp(dir=folder)
        LocalPipelineExecutor([*steps], tasks=tasks, workers=1, logging_dir=logs).run()

    run(ParquetReader(str(source)), FTFYFormatter(), ParquetWriter(at["clean"]))
    signing = MinhashDedupSignature(at["signed"], config=config, language=Words())
    run(ParquetReader(at["clean"]), signing)
    run(MinhashDedupBuckets(at["signed"], at["buckets"], config=config), tasks=32)
    run(MinhashDedupCluster(at["buckets"], at["remove"], config=config))
    run(ParquetReader(at["clean"]), MinhashDedupFilter(at["remove"]), ParquetWriter(at["out"]))
    return sum(pq.read_metadata(path).num_rows for path in Path(at["out"]).glob("*.parquet"))


def _by_datasets(source: Path, folder: Path) -> int:
    import ftfy
    from datasets import load_dataset
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=0.8, num_perm=128, params=(32, 4))

    def is_new(row: dict[str, Any]) -> bool:
        words = row["text"].lower().split()
        shingles = [" ".join(words[n : n + 5]).encode() for n in range(max(1, len(words) - 4))]
        signature = MinHash(128)
        signature.update_batch(shingles)
        alike = lsh.query(signature)
        if any(seen[key].jaccard(signature) >= 0.8 for key in alike):
            return False
        seen[row["id"]] = signature
        lsh.insert(row["id"], signature)
        return True

    seen: dict[str, Any] = {}
    texts = load_dataset("parquet", data_dir=str(source), split="train", cache_dir=str(folder))
    texts = texts.map(lambda row: {"text": ftfy.fix_text(row["text"], normalization="NFC")})
    texts = texts.filter(is_new, load_from_cache_file=False)
    texts.to_parquet(str(folder / "out.parquet"))
    return len(texts)


def _ingest(path: Path) -> Corpus:
    config = CorpusConfig.model_validate(
        {"source": str(path), "documents": "passages", "clean": {"unwrap": True}}
    )
    folder = Path(tempfile.mkdtemp())
    try:
        return ingest(locate(config, folder), config, SPLITS, folder / "out")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
