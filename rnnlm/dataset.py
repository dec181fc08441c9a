"""Documents to Parquet token shards, and shards to arrays."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm import tokenizer as tokenizers
from rnnlm.config import TokenizerConfig
from rnnlm.corpora.ingestion import DOCUMENTS_FILE, read_documents
from rnnlm.corpora.splitting import SPLITS, Split
from rnnlm.errors import DatasetError, EmptySplitError
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path, write_json
from rnnlm.tokenizer import BOUNDARY_ID, Tokenizer

SCHEMA_VERSION = "1"
SHARD_PATTERN = "tokens-*.parquet"
TOKENIZER_FILE = "tokenizer.json"
DOCUMENTS_PER_SHARD = 100_000


class Tokens(BaseModel):
    """What tokenization made.

    Attributes:
        uri: Folder that holds the shards and `tokenizer.json`.
        digest: sha256 over tokenizer and tokens, in order.
        corpus_digest: Digest of the corpus the tokens are of.
        vocab_size: Distinct ids, specials included.
        tokens: Tokens per split, the boundary that ends each document included.
        unknown: Tokens per split that the vocabulary has no entry for.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    corpus_digest: str
    vocab_size: int
    tokens: dict[str, int]
    unknown: dict[str, int]


@dataclass(frozen=True)
class TokenArrays:
    """A split in memory.

    Attributes:
        tokens: All documents' tokens one after another, each document closed by the boundary;
            shape (tokens,).
        offsets: Document n is `tokens[offsets[n]:offsets[n + 1]]`; shape (documents + 1,).
        characters: Characters per document, shape (documents,).
        bytes: UTF-8 bytes per document, shape (documents,).
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    offsets: NDArray[np.int64]
    characters: NDArray[np.int64]
    bytes: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per document, shape (documents,)."""
        return np.diff(self.offsets)


def token_type(vocab_size: int) -> Literal["uint8", "uint16", "uint32"]:
    """Return the smallest unsigned type that holds every id of a vocabulary."""
    if vocab_size <= 1 << 8:
        return "uint8"
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def token_schema(vocab_size: int) -> pa.Schema:
    """Return the columns of a token shard; see docs/decisions for why these."""
    ids = pa.type_for_alias(token_type(vocab_size))
    return pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("tokens", pa.list_(pa.field("token", ids, nullable=False)), nullable=False),
            pa.field("characters", pa.int64(), nullable=False),
            pa.field("bytes", pa.int64(), nullable=False),
        ]
    )


def tokenize(
    corpus_uri: str,
    corpus_digest: str,
    config: TokenizerConfig,
    out: Path,
    on_progress: OnProgress = silent,
) -> Tokens:
    """Learn a vocabulary from the training split and write every document as tokens.

    Args:
        corpus_uri: Folder that `ingest` wrote.
        corpus_digest: Its digest; goes into the shards' metadata.
        config: What a token is.
        out: Folder for `tokens-*.parquet` and `tokenizer.json`; made if need be.
        on_progress: Told the documents tokenized.

    Raises:
        CorpusError: `corpus_uri` holds no documents.
        StorageError: The result cannot be written.
    """
    tokenizer = tokenizers.learn(config, read_documents(corpus_uri, "train"))
    ids = np.dtype(token_type(tokenizer.vocab_size))
    description = json.dumps(tokenizer.to_json(), ensure_ascii=False)
    schema = token_schema(tokenizer.vocab_size).with_metadata(
        {
            "rnnlm.schema_version": SCHEMA_VERSION,
            "rnnlm.corpus_digest": corpus_digest,
            "rnnlm.tokenizer": description,
        }
    )
    digest = hashlib.sha256(description.encode())
    counts = dict.fromkeys(SPLITS, 0)
    unknown = dict.fromkeys(SPLITS, 0)
    documents = pq.ParquetFile(Path(corpus_uri) / DOCUMENTS_FILE)
    done = 0
    for number, batch in enumerate(documents.iter_batches(batch_size=DOCUMENTS_PER_SHARD)):
        rows = batch.to_pydict()
        encoded = [_row_tokens(tokenizer, text, ids) for text in rows["text"]]
        for split, tokens in zip(rows["split"], encoded, strict=True):
            counts[split] += len(tokens)
            unknown[split] += int(np.count_nonzero(tokens == tokenizer.unknown_id))
            digest.update(len(tokens).to_bytes(8, "little") + tokens.tobytes())
        table = pa.table({**rows, "tokens": encoded}).select(schema.names).cast(schema)
        with atomic_path(out / f"tokens-{number:05d}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
        done += len(encoded)
        on_progress(Progress(done, documents.metadata.num_rows, "documents"))
    write_json(out / TOKENIZER_FILE, tokenizer.to_json())
    return Tokens(
        uri=str(out),
        digest=digest.hexdigest(),
        corpus_digest=corpus_digest,
        vocab_size=tokenizer.vocab_size,
        tokens={**counts},
        unknown={**unknown},
    )


def load_tokenizer(uri: str) -> Tokenizer:
    """Return the tokenizer that the shards in `uri` were made with.

    Raises:
        DatasetError: There is none.
    """
    path = Path(uri) / TOKENIZER_FILE
    try:
        return tokenizers.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise DatasetError(f"no {TOKENIZER_FILE} in {uri}; run `rnnlm train` again") from error


def load_split(uri: str, split: Split) -> TokenArrays:
    """Read a split's shards into arrays.

    Raises:
        DatasetError: There are no shards, or they are torn or of another schema.
        EmptySplitError: No document is in the split.
    """
    shards = sorted(Path(uri).glob(SHARD_PATTERN))
    if not shards:
        raise DatasetError(
            f"no Parquet shards in {uri} (expected {SHARD_PATTERN}); run `rnnlm train` again"
        )
    try:
        tables = [pq.read_table(shard, filters=[("split", "=", split)]) for shard in shards]
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"cannot read the shards in {uri}: {error}") from error
    version = (tables[0].schema.metadata or {}).get(b"rnnlm.schema_version", b"none").decode()
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"the shards in {uri} have schema version {version} (expected {SCHEMA_VERSION}); "
            "run `rnnlm train --force`"
        )
    table = pa.concat_tables(tables)
    if not table.num_rows:
        raise EmptySplitError(f"no document in the {split} split of {uri}; give more text")
    lengths = pc.list_value_length(table.column("tokens")).to_numpy()
    return TokenArrays(
        tokens=pc.list_flatten(table.column("tokens")).to_numpy(),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        characters=table.column("characters").to_numpy(),
        bytes=table.column("bytes").to_numpy(),
    )


def from_texts(tokenizer: Tokenizer, texts: list[str]) -> TokenArrays:
    """Tokenize texts in memory, one document each, for scoring what is in no shard."""
    ids = np.dtype(token_type(tokenizer.vocab_size))
    encoded = [_row_tokens(tokenizer, text, ids) for text in texts]
    return TokenArrays(
        tokens=np.concatenate(encoded) if encoded else np.zeros(0, ids),
        offsets=np.cumsum([0, *(len(tokens) for tokens in encoded)]).astype(np.int64),
        characters=np.array([len(text) for text in texts], dtype=np.int64),
        bytes=np.array([len(text.encode()) for text in texts], dtype=np.int64),
    )


def _row_tokens(tokenizer: Tokenizer, text: str, ids: np.dtype[Any]) -> NDArray[Any]:
    return np.append(tokenizer.encode(text), BOUNDARY_ID).astype(ids)
