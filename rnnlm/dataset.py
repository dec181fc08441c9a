"""Tokenize documents into token shards, which are Parquet files, and read shards into arrays.

A shard holds documents of one split. Their tokens are in a binary column, as little-endian unsigned
integers of the type that the file's metadata names. A list column would take four bytes per token
and be read at a tenth of the speed (docs/decisions/0004).
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from rnnlm import tokenizer as tokenizers
from rnnlm.checksums import PAGE_CHECKSUMS, once, open_parquet
from rnnlm.conditioning import iter_with_headers, with_headers
from rnnlm.config import TokenizerConfig, shorten
from rnnlm.corpora.columns import column_size
from rnnlm.corpora.documents import iter_batches, shards
from rnnlm.corpora.splitting import SPLITS, Split
from rnnlm.errors import (
    DamagedFileError,
    DatasetError,
    EmptySplitError,
    TokenizerError,
)
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.saved import read_json
from rnnlm.storage import atomic_path, value_digest, write_json
from rnnlm.tokenizer import Encoded, Tokenizer, token_type
from rnnlm.tokens import BOUNDARY_ID, TokenArrays, every
from rnnlm.unpacked import mapped

SCHEMA_VERSION = "2"
SHARD_PATTERN = "tokens-{split}-*.parquet"
TOKENIZER_FILE = "tokenizer.json"
IN_MEMORY = 400_000_000
"""Size in bytes up to which a split's tokens are read into memory; a larger split is memory-mapped.
"""
MOST_FREQUENT = 20
COUNTED = 1_000_000
"""Number of most frequent tokens to report, and number of training tokens of each shard that are
counted to find them."""

_TYPES = {b"uint8": np.uint8, b"uint16": np.uint16, b"uint32": np.uint32}
_FAULTS = (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException)
_RECORDS = "records"
_FLAT = "flat"


class Tokens(BaseModel):
    """The result of tokenization.

    Attributes:
        uri: Folder that holds the shards and `tokenizer.json`.
        digest: sha256 over everything that decides the tokens: the corpus's digest, the tokenizer,
            the condition, the schema.
        corpus_digest: Digest of the tokenized corpus.
        vocab_size: Number of distinct ids, special tokens included.
        tokens: Number of tokens per split, including the boundary that ends each document.
        unknown: Number of tokens per split for which the vocabulary has no entry.
        most_frequent: The most frequent tokens and their shares, counted over the first
            `COUNTED` training tokens of each shard.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    corpus_digest: str
    vocab_size: int
    tokens: dict[str, int]
    unknown: dict[str, int]
    most_frequent: dict[str, float]


TOKENS_SCHEMA = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("tokens", pa.large_binary(), nullable=False),
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
    executor: Executor | None = None,
    condition: Sequence[str] = (),
    tokenizer: Tokenizer | None = None,
) -> Tokens:
    """Learn a vocabulary from the training split and write every document as tokens.

    Words and byte pairs of a long text are learnt from a sample of it; see `tokenizer.LEARNT_FROM`.

    Counts of tokens, characters and bytes include a document's header; see `rnnlm.conditioning`.

    Args:
        corpus_uri: Folder that `ingest` wrote.
        corpus_digest: The corpus's digest, to store in the shards' metadata.
        config: What a token is.
        out: Folder for `tokens-*.parquet` and `tokenizer.json`, created if needed. Shards that
            exist there are kept.
        on_progress: Called with the number of shards done.
        executor: Tokenizes shards in parallel; if None, they are tokenized one after another. The
            result does not depend on it.
        condition: Attributes in the header of each text; see `rnnlm.conditioning`.
        tokenizer: Tokenizer to use instead of learning one, such as that of a base.

    Raises:
        CorpusError: `corpus_uri` holds no documents, or one lacks an attribute of the condition.
        StorageError: The result cannot be written.
    """
    paths = shards(corpus_uri)
    if not (out / TOKENIZER_FILE).is_file():
        most = tokenizers.LEARNT_FROM.get(config.kind)
        texts = iter_with_headers(corpus_uri, "train", condition, most)
        tokenizer = tokenizer or tokenizers.learn(config, texts)
        write_json(out / TOKENIZER_FILE, tokenizer.to_json())
    tokenizer = load_tokenizer(str(out))
    named = tuple(condition)
    # Workers may run in other folders.
    tasks = [
        _Task(path.absolute(), corpus_digest, out.absolute(), number, named)
        for number, path in enumerate(paths)
    ]
    results: dict[int, _Counted] = {}
    for number, result in run_all(executor, _tokenize_shard, tasks):
        results[number] = result
        on_progress(Progress(len(results), len(tasks), "shards"))
    tokens: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    times: Counter[int] = Counter()
    for result in results.values():
        tokens.update(result["tokens"])
        unknown.update(result["unknown"])
        times.update(dict(result["frequent"]))
    shutil.rmtree(out / _RECORDS)
    common = sorted(times.items(), key=lambda item: (-item[1], item[0]))[:MOST_FREQUENT]
    return Tokens(
        uri=str(out),
        digest=value_digest([SCHEMA_VERSION, corpus_digest, tokenizer.to_json(), *condition]),
        corpus_digest=corpus_digest,
        vocab_size=tokenizer.vocab_size,
        tokens={split: tokens[split] for split in SPLITS},
        unknown={split: unknown[split] for split in SPLITS},
        most_frequent={
            token_name(tokenizer, index): round(count / times.total(), 6) for index, count in common
        },
    )


def token_name(tokenizer: Tokenizer, index: int) -> str:
    """Return how a token is shown to users: as its text, or by name if it is a special token."""
    if index == BOUNDARY_ID:
        return tokenizers.BOUNDARY
    return tokenizers.UNKNOWN if index == tokenizer.unknown_id else tokenizer.decode([index])


def load_tokenizer(uri: str) -> Tokenizer:
    """Return the tokenizer that made the shards in `uri`.

    Raises:
        DatasetError: The folder has no readable tokenizer.
    """
    path, mend = Path(uri) / TOKENIZER_FILE, "run `rnnlm train` again"
    try:
        return tokenizers.from_json(read_json(path, dict[str, Any], mend))
    except DamagedFileError as error:
        raise DatasetError(str(error)) from error
    except TokenizerError as error:
        raise DatasetError(f"{path} is damaged: {error}; {mend}") from error


def load_split(uri: str, split: Split, in_memory: int = IN_MEMORY) -> TokenArrays:
    """Read a split's shards into arrays.

    Args:
        uri: Folder that `tokenize` wrote.
        split: The split to read.
        in_memory: Size of all tokens in bytes above which the split is not held in memory: it is
            unpacked once to `uri/flat/` and memory-mapped from there.

    Raises:
        DatasetError: There are no shards, or they are damaged or of another schema.
        EmptySplitError: No document is in the split.
    """
    found = _shards_of(uri, split)
    try:
        ids = _token_type(found[0], uri)
        if _token_bytes(found) > in_memory:
            return mapped(_parts(found, ids), ids, Path(uri) / _FLAT / split)
        return _joined([*_parts(found, ids)])
    except _FAULTS as error:
        raise _unreadable(uri, error) from error


def load_spread(uri: str, split: Split, most: int) -> TokenArrays:
    """Read documents spread evenly over a split, with roughly `most` tokens in total.

    If the split has fewer tokens, all documents are read.

    Raises:
        DatasetError: There are no shards, or they are damaged or of another schema.
        EmptySplitError: No document is in the split.
    """
    found = _shards_of(uri, split)
    try:
        ids = _token_type(found[0], uri)
        share = most * ids.itemsize / max(1, _token_bytes(found))
        if share >= 1.0:
            return load_split(uri, split)
        chosen, seen = [], 0
        for part in _parts(found, ids):
            chosen.append(part.only(every(share, seen, len(part.characters))))
            seen += len(part.characters)
        return _joined(chosen)
    except _FAULTS as error:
        raise _unreadable(uri, error) from error


def iter_split(uri: str, split: Split) -> Iterator[TokenArrays]:
    """Yield a split's documents in order, one Parquet row group at a time.

    Only one row group is in memory at a time.

    Raises:
        DatasetError: There are no shards, or they are damaged or of another schema.
        EmptySplitError: No document is in the split.
    """
    found = _shards_of(uri, split)
    try:
        yield from _parts(found, _token_type(found[0], uri))
    except _FAULTS as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: BaseException) -> DatasetError:
    why = shorten(str(error) or type(error).__name__, 160)
    return DatasetError(f"cannot read the shards in {uri} ({why}); run `rnnlm train` again")


def _shards_of(uri: str, split: Split) -> list[Path]:
    found = sorted(Path(uri).glob(SHARD_PATTERN.format(split=split)))
    if not found:
        pattern = SHARD_PATTERN.format(split="*")
        if any(Path(uri).glob(pattern)):
            raise EmptySplitError(f"no document in the {split} split of {uri}; give more text")
        raise DatasetError(
            f"no Parquet shards in {uri} (expected {pattern}); run `rnnlm train` again"
        )
    return found


def _token_bytes(paths: Sequence[Path]) -> int:
    """Return the number of bytes of all tokens in some shards."""
    files = (pq.ParquetFile(path, memory_map=True) for path in paths)
    return sum(column_size(file, g, "tokens") for file in files for g in range(file.num_row_groups))


def from_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenArrays:
    """Tokenize texts in memory, each as one document; for scoring texts that are in no shard."""
    column = pa.array([*texts], pa.large_string())
    encoded = tokenizer.encode_batch(column)
    return TokenArrays(
        tokens=encoded.tokens,
        offsets=encoded.offsets,
        characters=np.array([len(text) for text in texts], dtype=np.int64),
        bytes=np.array([len(text.encode()) for text in texts], dtype=np.int64),
    )


@dataclass(frozen=True)
class _Task:
    documents: Path
    corpus_digest: str
    out: Path
    number: int
    condition: tuple[str, ...]


def _tokenize_shard(task: _Task) -> "_Counted":
    """Tokenize one shard of documents into a file per split; return counts of tokens.

    The counts are stored in a record; if the record exists, the shard is done already.
    """
    record = task.out / _RECORDS / f"{task.number:05d}.json"
    return once(record, lambda: _write_tokens(task), _Counted)


class _Counted(TypedDict):
    """Numbers of tokens and unknown tokens by split, and how often each token occurs."""

    tokens: dict[str, int]
    unknown: dict[str, int]
    frequent: list[tuple[int, int]]


def _write_tokens(task: _Task) -> _Counted:
    tokenizer = _tokenizer_of(str(task.out), (task.out / TOKENIZER_FILE).stat().st_mtime_ns)
    schema = _described(task, tokenizer)
    tokens: dict[str, int] = dict.fromkeys(SPLITS, 0)
    unknown: dict[str, int] = dict.fromkeys(SPLITS, 0)
    sample: list[NDArray[Any]] = []
    with ExitStack() as stack:
        writers: dict[Split, pq.ParquetWriter] = {}
        for split, documents in iter_batches(task.documents, SPLITS, bool(task.condition)):
            batch = with_headers(documents, task.condition)
            if split not in writers:
                number = f"{task.number:05d}"
                path = task.out / SHARD_PATTERN.format(split=split).replace("*", number)
                temporary = stack.enter_context(atomic_path(path))
                writer = pq.ParquetWriter(
                    temporary, schema, compression="none", use_dictionary=False,
                    write_statistics=False, **PAGE_CHECKSUMS,
                )  # fmt: skip
                writers[split] = stack.enter_context(writer)
            encoded = tokenizer.encode_batch(batch["text"])
            writers[split].write_batch(_token_batch(batch, encoded, schema))
            if split == "train" and tokens["train"] < COUNTED:
                sample.append(encoded.tokens[:COUNTED])
            tokens[split] += len(encoded.tokens)
            if tokenizer.unknown_id is not None:
                unknown[split] += int(np.count_nonzero(encoded.tokens == tokenizer.unknown_id))
    counted = np.bincount(np.concatenate(sample)[:COUNTED]) if sample else np.zeros(0, np.int64)
    frequent = [(int(i), int(counted[i])) for i in np.flatnonzero(counted)]
    return {"tokens": tokens, "unknown": unknown, "frequent": frequent}


def _token_batch(batch: pa.RecordBatch, encoded: Encoded, schema: pa.Schema) -> pa.RecordBatch:
    columns = [batch["document_id"], binary_column(encoded), batch["characters"], batch["bytes"]]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def binary_column(encoded: Encoded) -> pa.Array:
    """Return each document's tokens as one binary cell, without copying them."""
    width = encoded.tokens.dtype.itemsize
    offsets = pa.py_buffer(np.ascontiguousarray(encoded.offsets * width))
    data = pa.py_buffer(np.ascontiguousarray(encoded.tokens))
    cells = [None, offsets, data]
    return pa.Array.from_buffers(pa.large_binary(), len(encoded.offsets) - 1, cells)


def _described(task: _Task, tokenizer: Tokenizer) -> pa.Schema:
    return TOKENS_SCHEMA.with_metadata(
        {
            "rnnlm.schema_version": SCHEMA_VERSION,
            "rnnlm.corpus_digest": task.corpus_digest,
            "rnnlm.token_type": token_type(tokenizer.vocab_size),
            "rnnlm.vocab_size": str(tokenizer.vocab_size),
        }
    )


@lru_cache(maxsize=2)
def _tokenizer_of(uri: str, _modified: int) -> Tokenizer:
    """Return a folder's tokenizer, cached so that a worker process reads it only once.

    `_modified` is the file's modification time; a changed file is read again.
    """
    return load_tokenizer(uri)


def _token_type(path: Path, uri: str) -> np.dtype[Any]:
    """Return the type of the token ids in a shard."""
    metadata = pq.read_schema(path).metadata or {}
    version = metadata.get(b"rnnlm.schema_version", b"none").decode()
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"the shards in {uri} have schema version {version} (expected {SCHEMA_VERSION}); "
            "run `rnnlm train --force`"
        )
    ids: np.dtype[Any] = np.dtype(_TYPES[metadata[b"rnnlm.token_type"]])
    return ids


def _parts(paths: Sequence[Path], ids: np.dtype[Any]) -> Iterator[TokenArrays]:
    """Yield the shards' row groups as arrays; only one file is open at a time."""
    for path in paths:
        with open_parquet(path) as file:
            for group in range(file.metadata.num_row_groups):
                table = file.read_row_group(group, columns=["tokens", "characters", "bytes"])
                for batch in table.to_batches():
                    yield _arrays_of(batch, ids)


def _arrays_of(batch: pa.RecordBatch, ids: np.dtype[Any]) -> TokenArrays:
    cells = batch["tokens"]
    offsets = np.frombuffer(cells.buffers()[1], dtype=np.int64)
    offsets = offsets[cells.offset : cells.offset + len(cells) + 1]
    tokens = np.frombuffer(cells.buffers()[2] or b"", dtype=np.uint8)
    return TokenArrays(
        tokens=tokens[offsets[0] : offsets[-1]].view(ids),
        offsets=(offsets - offsets[0]) // ids.itemsize,
        characters=batch["characters"].to_numpy(),
        bytes=batch["bytes"].to_numpy(),
    )


def _joined(parts: Sequence[TokenArrays]) -> TokenArrays:
    starts = np.cumsum([0, *(len(part.tokens) for part in parts)])
    shifted = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    return TokenArrays(
        tokens=np.concatenate([part.tokens for part in parts]),
        offsets=np.concatenate([np.zeros(1, np.int64), *shifted]),
        characters=np.concatenate([part.characters for part in parts]),
        bytes=np.concatenate([part.bytes for part in parts]),
    )
