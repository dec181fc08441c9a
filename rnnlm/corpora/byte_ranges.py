"""Pieces of files: how files are cut into pieces for each shard, and how a piece is read.

A piece is a byte range of a file, or a range of row groups of a Parquet file. A shard is a list of
pieces of about `shard_bytes` in total, which one worker process reads. The cuts depend only on the
files' bytes and the shard size, never on the number of workers. Any number of workers therefore
reads the same documents into the same shards.
"""

import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from rnnlm.config import CorpusConfig
from rnnlm.corpora.columns import read_rows, row_group_sizes
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import Encoding
from rnnlm.corpora.files import SourceFile
from rnnlm.corpora.formats import FORMATS, LINE_END, PARAGRAPH_END
from rnnlm.corpora.records import Fault, Fields, checked
from rnnlm.corpora.tables import Table, rows_of

ROWS_AT_ONCE = 1000
_SPACE = re.compile(rb" ")


@dataclass(frozen=True)
class Piece:
    """A part of a file.

    Attributes:
        file: The file, unpacked.
        encoding: Encoding of its text; None for Parquet.
        start: Offset of the first byte, or index of the first row group of a Parquet file. Reading
            starts at the first position from there on at which the file can be split, such as the
            start of a line.
        end: Offset after the last byte, or index after the last row group. Reading ends at the
            first position from there on at which the file can be split.
        is_whole: Whether the file is read as a whole.
    """

    file: SourceFile
    encoding: Encoding | None
    start: int
    end: int
    is_whole: bool


def cut_files(files: Iterable[SourceFile], config: CorpusConfig, whole: bool) -> list[list[Piece]]:
    """Assign files to shards, and return the list of pieces of each shard.

    A file longer than the shard size is cut into several pieces if its format allows it. Short
    files share a shard.

    Args:
        files: Unpacked files.
        config: Configuration of the corpus, which sets the shard size.
        whole: Whether to read every file as a whole, without cutting it.

    Raises:
        CorpusError: A file changed since it was found, or a Parquet file cannot be read.
    """
    shards: list[list[Piece]] = [[]]
    gathered = 0
    for file in files:
        file.check_unchanged()
        for piece, size in _cut(file, config, whole):
            if shards[-1] and gathered + size > config.shard_bytes:
                shards.append([])
                gathered = 0
            shards[-1].append(piece)
            gathered += size
    return [shard for shard in shards if shard]


def _ignore(_lines: Sequence[int]) -> None:
    """Do nothing."""


def read_records(
    piece: Piece,
    config: CorpusConfig,
    on_mended: Callable[[Sequence[int]], None] = _ignore,
) -> Iterator[Fields | Fault]:
    """Yield the records of a piece, and a `Fault` object for each record that cannot be read.

    Args:
        piece: Piece to read.
        config: Configuration of the corpus, which sets the shard size and the longest record.
        on_mended: Called if some lines contained bytes that are not UTF-8 and were read as
            Windows-1252. Its argument is the numbers of these lines, counted from 1 at the start
            of the piece; `line_of` converts them to line numbers of the file.

    Raises:
        CorpusError: The bytes do not fit the encoding that was detected, or a Parquet file cannot
            be read.
    """
    if piece.file.source.reader == "parquet":
        groups = range(piece.start, piece.end)
        rows = read_rows(piece.file.path, piece.file.name, ROWS_AT_ONCE, groups)
        yield from map(checked, rows)
        return
    file_format = FORMATS[piece.file.source.reader]
    header = b""
    with piece.file.path.open("rb") as file, _mapped(file) as content:
        start, end = _bounds(content, piece, config)
        if start and piece.file.source.header == "yes":
            header = content[: _end_of(LINE_END, content, 0)]
        if piece.is_whole and end - start > config.longest:
            yield _too_long(end - start, config)
            return
        parts: list[bytes] = []
        for part in _without_overlong(content, start, end, config):
            if isinstance(part, Fault):
                yield part
            else:
                parts.append(part)
    assert piece.encoding is not None
    text, mended = decode(header + b"".join(parts), piece.encoding, piece.file.name)
    if mended:
        on_mended(mended)
    source = piece.file.source
    if source.reader == "csv":
        yield from rows_of(text, Table(source.delimiter, source.header == "yes"))
    else:
        yield from file_format.parse(text)


def line_of(piece: Piece, line: int, config: CorpusConfig) -> int:
    """Convert a line number within a piece to a line number within its file.

    Args:
        piece: Piece that contains the line.
        line: Line number in the piece, counted from 1; 0 if unknown.
        config: Configuration of the corpus, which sets the shard size.

    Returns:
        The line number in the file, counted from 1. It is 0 if `line` is 0, or the file is Parquet.
    """
    if not line or piece.file.source.reader == "parquet":
        return 0
    with piece.file.path.open("rb") as file, _mapped(file) as content:
        start, _ = _bounds(content, piece, config)
        header = piece.file.source.header == "yes" and start > 0
        return len(LINE_END.findall(content[:start])) + line - header


def _cut(file: SourceFile, config: CorpusConfig, whole: bool) -> Iterator[tuple[Piece, int]]:
    if file.source.reader == "parquet":
        yield from _cut_parquet(file, config)
        return
    encoding = file.encoding
    if encoding is None:  # the file is empty
        return
    is_whole = whole or not encoding.is_cuttable or not _is_cuttable(file, config)
    size = max(1, file.size) if is_whole else config.shard_bytes
    for start in range(0, file.size, size):
        end = min(start + size, file.size)
        yield Piece(file, encoding, start, end, is_whole), end - start


def _is_cuttable(file: SourceFile, config: CorpusConfig) -> bool:
    reader = file.source.reader
    if reader == "csv":
        if file.size <= config.shard_bytes:
            return False
        with file.path.open("rb") as opened, _mapped(opened) as content:
            return content.find(b'"') < 0  # without quotes, a line end always ends a row
    if reader == "text":
        return file.source.documents != "whole"
    return FORMATS[reader].cut is not None


def _cut_parquet(file: SourceFile, config: CorpusConfig) -> Iterator[tuple[Piece, int]]:
    sizes = row_group_sizes(file.path, file.name)
    start = gathered = 0
    for group, size in enumerate(sizes):
        gathered += size
        if gathered >= config.shard_bytes or group == len(sizes) - 1:
            yield Piece(file, None, start, group + 1, is_whole=False), gathered
            start, gathered = group + 1, 0


def _bounds(content: mmap.mmap | bytes, piece: Piece, config: CorpusConfig) -> tuple[int, int]:
    """Return the start and end offset of a piece in bytes; the end is exclusive.

    Each offset is moved forward to the first position at which the file can be split.
    """
    if piece.is_whole:
        return 0, len(content)
    patterns = _patterns(piece)
    start = _cut_at(content, piece.start, patterns, config.shard_bytes)
    return start, _cut_at(content, piece.end, patterns, config.shard_bytes)


def _patterns(piece: Piece) -> Sequence[re.Pattern[bytes]]:
    """Return the patterns after whose matches a file can be split, in order of preference."""
    file_format = FORMATS[piece.file.source.reader]
    source = piece.file.source
    if source.reader == "text" and source.documents == "records" and source.separator:
        codec = piece.encoding.codec.removesuffix("-sig") if piece.encoding else "utf-8"
        separator = source.separator.encode(codec, "replace")
        return (re.compile(separator, re.MULTILINE), LINE_END, _SPACE)
    if source.reader == "text" and source.documents != "lines":
        return (PARAGRAPH_END, LINE_END, _SPACE)
    return (file_format.cut or LINE_END,)


def _cut_at(
    content: mmap.mmap | bytes, at: int, patterns: Sequence[re.Pattern[bytes]], within: int
) -> int:
    """Return the offset, at or after `at`, at which the content can be split.

    The patterns are tried in order, and the split is at the end of the first match. All patterns
    but the last are searched for within the next `within` bytes only. If no pattern matches, the
    end of the content is returned.
    """
    if at == 0 or at >= len(content):
        return min(at, len(content))
    for pattern in patterns[:-1]:
        match = pattern.search(content, at, min(len(content), at + within))
        if match:
            return match.end()
    return _end_of(patterns[-1], content, at)


def _end_of(pattern: re.Pattern[bytes], content: mmap.mmap | bytes, at: int) -> int:
    match = pattern.search(content, at)
    return match.end() if match else len(content)


def _without_overlong(
    content: mmap.mmap | bytes, start: int, end: int, config: CorpusConfig
) -> Iterator[bytes | Fault]:
    """Yield the bytes of a piece in blocks of whole lines, each of at most `config.longest` bytes.

    A line that is longer than this is never read into memory; a fault is yielded in its place.
    """
    if end - start <= config.longest:
        yield content[start:end]
        return
    while start < end:
        stop = content.rfind(b"\n", start, min(end, start + config.longest)) + 1
        if stop > start or end - start <= config.longest:
            stop = stop if stop > start and end - start > config.longest else end
            yield content[start:stop]
        else:
            stop = (content.find(b"\n", start, end) + 1) or end
            yield _too_long(stop - start, config)
        start = stop


def _too_long(size: int, config: CorpusConfig) -> Fault:
    return Fault("too long", f"{size:,} bytes, more than corpus.longest = {config.longest:,}")


@contextmanager
def _mapped(file: BinaryIO) -> Iterator[mmap.mmap | bytes]:
    """Map a file into memory; yield `b""` for an empty file, because mmap cannot map one."""
    if not os.fstat(file.fileno()).st_size:
        yield b""
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content
