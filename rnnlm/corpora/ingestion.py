"""The first step: a source becomes documents in splits, in one Parquet file."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from rnnlm.config import CorpusConfig, SplitConfig, shorten
from rnnlm.corpora import reading
from rnnlm.corpora.catalog import CATALOG
from rnnlm.corpora.splitting import SPLITS, Split, split_of
from rnnlm.errors import CorpusError, EmptySplitError
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path

DOCUMENTS_FILE = "documents.parquet"
DOCUMENTS_SCHEMA = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


class Corpus(BaseModel):
    """What ingestion made.

    Attributes:
        uri: Folder that holds `documents.parquet`.
        digest: sha256 over every document and its split, in order.
        documents: Documents per split.
        characters: Characters per split.
        repeated: Documents that had stood before, word for word; they are kept, in one split.
        encoding: What the source was decoded as.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    documents: dict[str, int]
    characters: dict[str, int]
    repeated: int
    encoding: str


def source_digest(config: CorpusConfig) -> str:
    """Return the sha256 of the source's bytes, without keeping them.

    Raises:
        CorpusError: The source is missing or no file.
    """
    if config.source in CATALOG:
        return hashlib.sha256(CATALOG[config.source].read().encode()).hexdigest()
    path = _existing_file(config.source)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(config: CorpusConfig) -> tuple[str, str]:
    """Return the source's text and the encoding it was in.

    Raises:
        CorpusError: The source is missing, a directory, empty, no text, or of one character only.
    """
    if config.source in CATALOG:
        return CATALOG[config.source].read(), "utf-8"
    path = _existing_file(config.source)
    try:
        text, encoding = reading.decode(path.read_bytes(), config.encoding, str(path))
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    visible = {character for character in set(text) if not character.isspace()}
    if not visible:
        raise CorpusError(f"{path} is empty (expected text); nothing to learn from")
    if len(visible) == 1:
        raise CorpusError(
            f"{path} holds one character only, {shorten(visible.pop())}, over and over "
            "(expected text); nothing to learn from"
        )
    return text, encoding


def documents_of(text: str, config: CorpusConfig) -> Iterator[str]:
    """Yield the documents of a text as `config` defines them."""
    if config.documents == "lines":
        return reading.lines(text)
    return reading.passages(text, config.passage_characters)


def ingest(
    config: CorpusConfig, splits: SplitConfig, out: Path, on_progress: OnProgress = silent
) -> Corpus:
    """Read a source, cut it into documents, split them, and write `out/documents.parquet`.

    Args:
        config: The source and what a document is.
        splits: The shares held out.
        out: Folder to write to; made if need be.
        on_progress: Told the documents written.

    Raises:
        CorpusError: The source cannot be used; see `read_text`.
        EmptySplitError: A split got no document.
        StorageError: The result cannot be written.
    """
    text, encoding = read_text(config)
    count = sum(1 for _ in documents_of(text, config))
    digest = hashlib.sha256()
    seen: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    with (
        atomic_path(out / DOCUMENTS_FILE) as temporary,
        pq.ParquetWriter(temporary, DOCUMENTS_SCHEMA, compression="zstd") as writer,
    ):
        for batch in _batches(documents_of(text, config), size=10_000):
            rows = [_row(document, split_of(document, splits), seen) for document in batch]
            for row in rows:
                documents[row["split"]] += 1
                characters[row["split"]] += row["characters"]
                digest.update(f"{row['split']}\0{row['characters']}\0{row['text']}\0".encode())
            writer.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS_SCHEMA))
            on_progress(Progress(sum(documents.values()), count, "documents"))
        _check_splits(documents, config.source)
    return Corpus(
        uri=str(out),
        digest=digest.hexdigest(),
        documents={split: documents[split] for split in SPLITS},
        characters={split: characters[split] for split in SPLITS},
        repeated=sum(seen.values()) - len(seen),
        encoding=encoding,
    )


def read_documents(uri: str, split: Split) -> list[str]:
    """Return the texts of a split's documents, in corpus order.

    Raises:
        CorpusError: `uri` holds no documents file.
    """
    path = Path(uri) / DOCUMENTS_FILE
    if not path.is_file():
        raise CorpusError(f"no {DOCUMENTS_FILE} in {uri}; run `rnnlm train` on the corpus again")
    table = pq.read_table(path, columns=["text"], filters=[("split", "=", split)])
    texts: list[str] = table.column("text").to_pylist()
    return texts


def _existing_file(source: str) -> Path:
    path = Path(source)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise CorpusError(f"cannot read {shorten(source)}: {error.strerror}") from error
    if path.is_dir():
        raise CorpusError(f"{source} is a directory (expected a text file); name a file in it")
    if not path.exists():
        known = ", ".join(CATALOG)
        raise CorpusError(
            f"no file {source} and no corpus of that name (the catalog knows: {known}); "
            "check the path"
        )
    if path.stat().st_size == 0:
        raise CorpusError(f"{source} is empty (0 bytes; expected text); nothing to learn from")
    return path


def _row(document: str, split: Split, seen: Counter[str]) -> dict[str, Any]:
    content = hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    seen[content] += 1
    repeat = f"-{seen[content]}" if seen[content] > 1 else ""
    return {
        "document_id": content + repeat,
        "split": split,
        "text": document,
        "characters": len(document),
        "bytes": len(document.encode()),
    }


def _batches(documents: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for document in documents:
        batch.append(document)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_splits(documents: Counter[str], source: str) -> None:
    for split in SPLITS:
        if not documents[split]:
            raise EmptySplitError(
                f"no document of {source} fell into the {split} split "
                f"({sum(documents.values())} documents in all); give more text, smaller documents "
                "or larger shares, such as --set splits.validation=0.2 --set splits.test=0.2"
            )
