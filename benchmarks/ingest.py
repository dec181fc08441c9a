"""How fast text becomes documents, step by step, on one core.

    python benchmarks/ingest.py FILE [--repeat N]

Each row is one step of ingestion on the same text, in megabytes of UTF-8 per CPU-second, the best
of N; the last is the whole of it, from the file to Parquet, with all cleaning on and near copies
sought. Repetitions in FILE make the last steps cheaper: take a text that has none.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

import pyarrow as pa

from rnnlm.config import CleaningConfig, CorpusConfig, SplitConfig
from rnnlm.corpora import cleaning, cutting, duplicates, splitting, unwrapping
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import detect
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from rnnlm.corpora.shingling import shingle_hashes

SPLITS = SplitConfig(validation=0.1, test=0.1)
PASSAGE = 2000


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
