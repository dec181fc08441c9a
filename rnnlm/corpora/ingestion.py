"""The first stage: turn a corpus into clean documents in splits, stored in Parquet shards.

There are three passes. The first reads pieces (byte ranges) of files in parallel, and writes their
documents to `reading/`. The second finds repeated and nearly repeated documents in the whole
corpus, from hashes alone. The third writes the documents that are kept, each with its split, to
`documents-*.parquet`, in parallel. A shard is a part of the corpus that is read and written as one
file. A shard that exists is never written again, so a run that was killed resumes where it stopped.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora.byte_ranges import cut_files
from rnnlm.corpora.dedup_pass import decide
from rnnlm.corpora.documents import WriteTask, Written, write_shard
from rnnlm.corpora.files import SourceFile
from rnnlm.corpora.reading import MOST_EXAMPLES
from rnnlm.corpora.reading_pass import ReadShard, ReadTask, read_shard, size_of
from rnnlm.corpora.splitting import SPLITS
from rnnlm.corpora.unpacking import claim, unpack
from rnnlm.errors import CorpusError, EmptySplitError
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress, silent

MOST_FILES = 1000
"""Most files that are listed in `Corpus.files`."""


class FileRead(BaseModel):
    """How a file was read.

    Attributes:
        name: Name to show to the user.
        bytes: Size of the file.
        reader: Format, as in `corpus.reader`.
        encoding: Encoding of its text; empty for Parquet and empty files.
        is_sure: Whether the encoding is known, or guessed with enough confidence.
        documents: What a document is, as in `corpus.documents`.
        render: How a record became text, as in `corpus.render`.
        reason: Why the documents were read this way.
        count: Number of documents, including repeated documents that were dropped later.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int
    reader: str
    encoding: str
    is_sure: bool
    documents: str
    render: str
    reason: str
    count: int


class Corpus(BaseModel):
    """The result of ingestion.

    Attributes:
        uri: Folder that contains the shards.
        digest: sha256 of all documents with their splits and attributes, in order.
        documents: Number of documents per split.
        characters: Number of characters per split.
        bytes: Number of UTF-8 bytes per split.
        dropped: Number of records and documents that were dropped, by reason.
        cleaned: Number of repairs and removals, by cleaning rule.
        encodings: Number of files by encoding. The name of an encoding that was guessed includes
            the confidence.
        examples: The first examples of what was dropped or repaired, by the reasons and rules of
            `dropped` and `cleaned`.
        files: How each file was read, for the first `MOST_FILES` files.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    documents: dict[str, int]
    characters: dict[str, int]
    bytes: dict[str, int]
    dropped: dict[str, int]
    cleaned: dict[str, int]
    encodings: dict[str, int]
    examples: dict[str, tuple[str, ...]] = {}
    files: tuple[FileRead, ...] = ()


def ingest(
    files: Sequence[SourceFile],
    config: CorpusConfig,
    splits: SplitConfig,
    out: Path,
    on_progress: OnProgress = silent,
    executor: Executor | None = None,
    unpacked: Path | None = None,
) -> Corpus:
    """Read and clean files, cut them into documents, assign splits, and write the shards.

    Args:
        files: Files of the corpus, as `files.locate` returned them.
        config: How the files are read and cleaned, and what a document is.
        splits: How documents are assigned to splits.
        out: Folder to write to; created if needed. Shards that an earlier run wrote there are kept.
        on_progress: Called with the number of bytes done so far. Each byte counts twice, once when
            it is read and once when it is written, so the total is twice the size of the files.
        executor: Executor that runs the work on each shard in parallel; if None, shards are
            processed one after the other. The result does not depend on it.
        unpacked: Folder into which `preview.look` may have unpacked the files. The unpacked files
            are moved to `out`, and removed when they are no longer needed.

    Raises:
        CorpusError: A file or record cannot be used, a file changed since it was found, or no
            document is left.
        EmptySplitError: A split has no document.
        StorageError: The result cannot be written.
    """
    if unpacked:
        claim(files, unpacked, out / "unpacked")
    plain = [*unpack(files, out / "unpacked")]
    if executor:  # its workers may run in other folders
        plain = [replace(file, path=file.path.absolute()) for file in plain]
    place = out.absolute() if executor else out
    pieces = cut_files(plain, config, whole=splits.by == "position")
    reading = [
        ReadTask(shard, config, splits, place / "reading" / f"{number:05d}.arrow")
        for number, shard in enumerate(pieces)
    ]
    size = sum(file.size for file in plain)
    tell = _Teller(on_progress, 2 * size)
    counts: dict[int, ReadShard] = {}
    read = read_shard if executor else partial(read_shard, tell=tell)
    for number, result in run_all(executor, read, reading):
        counts[number] = result
        if executor:
            tell(sum(map(size_of, reading[number].pieces)))
    try:
        for file in files:
            file.check_unchanged()
    except CorpusError:  # the shards may not match the files that were found
        shutil.rmtree(out / "reading")
        raise
    rows = [counts[number]["rows"] for number in range(len(reading))]
    if not sum(rows):
        raise CorpusError(_nothing_in(files, counts.values()))
    decisions = decide([task.out for task in reading], rows, config, splits)
    writing = [
        WriteTask(
            task.out, decision, splits, config.phrases, place / f"documents-{number:05d}.parquet"
        )
        for number, (task, decision) in enumerate(zip(reading, decisions, strict=True))
    ]
    written: dict[int, Written] = {}
    for number, done in run_all(executor, write_shard, writing):
        written[number] = done
        tell(size / len(writing))
    documents = _summed(written.values(), "documents")
    _check_splits(documents, files, splits.key)
    dropped = _summed(counts.values(), "dropped")
    for decision in decisions:
        dropped.update(decision.dropped)
    digests = "".join(written[number]["digest"] for number in range(len(writing)))
    shutil.rmtree(out / "reading")
    shutil.rmtree(out / "unpacked", ignore_errors=True)
    return Corpus(
        uri=str(out),
        digest=hashlib.sha256(digests.encode()).hexdigest(),
        documents={split: documents[split] for split in SPLITS},
        characters=_in_splits(_summed(written.values(), "characters")),
        bytes=_in_splits(_summed(written.values(), "bytes")),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
        cleaned={
            what: count
            for what, count in sorted(_summed(counts.values(), "cleaned").items())
            if count
        },
        encodings=dict(sorted(_summed(counts.values(), "encodings").items())),
        examples=_examples(
            [
                *(counts[number]["examples"] for number in range(len(reading))),
                *(written[number]["examples"] for number in range(len(writing))),
            ]
        ),
        files=tuple(_files_read(plain[:MOST_FILES], _summed(counts.values(), "documents"))),
    )


def _files_read(files: Sequence[SourceFile], documents: Counter[str]) -> Iterator[FileRead]:
    for file in files:
        yield FileRead(
            name=file.name,
            bytes=file.size,
            reader=file.source.reader,
            encoding=str(file.encoding or ""),
            is_sure=file.encoding is None or file.encoding.is_sure,
            documents=file.source.documents,
            render=file.source.render,
            reason=file.reason if file.size else "empty",
            count=documents[file.name],
        )


class _Teller:
    """Adds up the bytes that were read and written, and reports the sum as progress.

    Reading and writing each count for half of the total.
    """

    def __init__(self, on_progress: OnProgress, total: float) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0.0

    def __call__(self, size: float) -> None:
        self._done += size
        self._on_progress(Progress(min(self._done, self._total), self._total, "bytes"))


def _summed(results: Any, name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for result in results:
        total.update(result[name])
    return total


def _examples(results: Sequence[dict[str, list[str]]]) -> dict[str, tuple[str, ...]]:
    """Merge the examples of all shards; return the first few of each kind."""
    found: dict[str, tuple[str, ...]] = {}
    for result in results:
        for what, shown in result.items():
            found[what] = (*found.get(what, ()), *shown)[:MOST_EXAMPLES]
    return dict(sorted(found.items()))


def _in_splits(counter: Counter[str]) -> dict[str, int]:
    return {split: counter[split] for split in SPLITS}


def _nothing_in(files: Sequence[SourceFile], counts: Any) -> str:
    dropped = _summed(counts, "dropped")
    why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    names = ", ".join(file.name for file in files[:3])
    return (
        f"{names}: no document is left ({why or 'no text'}; expected text); nothing to learn from"
    )


def _check_splits(documents: Counter[str], files: Sequence[SourceFile], key: str) -> None:
    names = files[0].name if len(files) == 1 else f"{len(files):,} files"
    todo = "give more text, smaller documents"
    if key:
        todo = f"documents of one {key} stay together (splits.key), so it needs more values"
    for split in SPLITS:
        if not documents[split]:
            raise EmptySplitError(
                f"no document of {names} fell into the {split} split "
                f"({sum(documents.values())} documents in all); {todo}, "
                "or larger shares, such as --set splits.validation=0.2 --set splits.test=0.2"
            )
