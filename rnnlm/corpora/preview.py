"""A look at a corpus without writing anything: its first texts, or all its documents in memory."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rnnlm.config import CorpusConfig, SplitConfig, shorten
from rnnlm.corpora.files import SourceFile, locate, unpack
from rnnlm.corpora.formats import Fault
from rnnlm.corpora.pieces import cut_files, read_records
from rnnlm.corpora.reading import Counts, read_documents
from rnnlm.corpora.rendering import UnusableRecordError, render
from rnnlm.errors import CorpusError

LOOKED_AT = 32_000_000
"""Bytes of a file that a preview reads."""
RECORDS_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Preview:
    """What a corpus looks like.

    Attributes:
        texts: First records as texts, not cleaned; of plain text, the beginning as one.
        reader: Format of the first file.
        encoding: What its text is in.
        bytes: Size of all files, as they lie on disk.
        read: Bytes of UTF-8 in `texts`.
    """

    texts: tuple[str, ...]
    reader: str
    encoding: str
    bytes: int
    read: int


def look(config: CorpusConfig, cache: Path) -> Preview:
    """Read the beginning of a corpus.

    Raises:
        CorpusError: It cannot be read, or holds nothing to learn from.
    """
    files = locate(config, cache)
    total = sum(file.size for file in files)
    with tempfile.TemporaryDirectory() as scratch:
        for file in unpack(files, Path(scratch)):
            if not file.size:
                continue
            texts, encoding = _first_texts(file, config)
            if texts:
                _check_worth_reading(texts, file.name)
                read = sum(len(text.encode("utf-8", "replace")) for text in texts)
                return Preview(texts, file.source.reader, encoding, max(total, read), read)
    raise CorpusError(f"{files[0].name} holds no text (expected some); nothing to learn from")


def documents(config: CorpusConfig, cache: Path) -> Iterator[str]:
    """Yield all documents of a corpus, cleaned, repetitions included.

    Raises:
        CorpusError: It cannot be read.
    """
    files = locate(config, cache)
    with tempfile.TemporaryDirectory() as scratch:
        for shard in cut_files(unpack(files, Path(scratch)), config, whole=False):
            for piece in shard:
                for document in read_documents(piece, config, SplitConfig(), Counts()):
                    yield document.text


def _first_texts(file: SourceFile, config: CorpusConfig) -> tuple[tuple[str, ...], str]:
    cut = config.model_copy(update={"shard_bytes": LOOKED_AT, "documents": "lines"})
    piece = cut_files([file], cut, whole=False)[0][0]
    texts = []
    for record in islice(read_records(piece, cut), RECORDS_LOOKED_AT):
        if isinstance(record, Fault):
            continue
        try:
            texts.append(render(file.source.render, record, file.source.fields))
        except UnusableRecordError as error:
            names = [str(name) for name in record]
            hint = f"; say which with --set corpus.render='{{{names[0]}}}'" if names else ""
            raise CorpusError(f"{file.name}: {error}{hint}") from error
    return tuple(texts), str(piece.encoding or "")


def _check_worth_reading(texts: tuple[str, ...], name: str) -> None:
    visible = {character for text in texts for character in set(text) if not character.isspace()}
    if not visible:
        raise CorpusError(f"{name} is blank (expected text); nothing to learn from")
    if len(visible) == 1:
        raise CorpusError(
            f"{name} holds one character only, {shorten(visible.pop())}, over and over "
            "(expected text); nothing to learn from"
        )
