"""Read clean documents from a piece (byte range) of a file; count what is dropped and repaired."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from rnnlm.config import CorpusConfig, SourceConfig, SplitConfig, shorten
from rnnlm.corpora.byte_ranges import Piece, line_of, read_records
from rnnlm.corpora.cleaning import clean
from rnnlm.corpora.compiled import text as _native
from rnnlm.corpora.cutting import documents_of
from rnnlm.corpora.mojibake import suspects
from rnnlm.corpora.records import Fault, Fields
from rnnlm.corpora.rendering import UnusableRecordError, attribute, render
from rnnlm.corpora.splitting import Split, split_by_paragraph, split_by_position
from rnnlm.errors import CorpusError
from rnnlm.wordlists import pattern_of

MOST_EXAMPLES = 3
"""Most examples to keep of each kind of repair, and of documents dropped for each reason."""
RECORDS_AT_ONCE = 1000
"""Number of records that are searched together for mojibake (text decoded with a wrong
encoding)."""
MENDED = "bytes that are no UTF-8 read as Windows-1252"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Document(NamedTuple):
    """A document.

    Attributes:
        text: Clean text.
        attributes: Values of the attributes that are kept with the text, by name.
        split: Split that the document belongs to, or None if a later pass decides it.
    """

    text: str
    attributes: dict[str, str]
    split: Split | None


@dataclass
class Counts:
    """Counts of what happened while reading; updated as documents are read.

    Attributes:
        cleaned: Number of changes, by cleaning rule.
        dropped: Number of records and documents that were dropped, by reason.
        encodings: Number of files, by encoding.
        documents: Number of documents, by the name of their file.
        examples: The first examples of repairs and of dropped documents, by the names used in
            `cleaned` and `dropped`.
    """

    cleaned: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def show(self, what: str, example: str) -> None:
        """Keep an example of the rule or reason `what`, unless there are `MOST_EXAMPLES` of it."""
        kept = self.examples.setdefault(what, [])
        if len(kept) < MOST_EXAMPLES:
            kept.append(example)


def read_documents(
    piece: Piece, config: CorpusConfig, splits: SplitConfig, counts: Counts
) -> Iterator[Document]:
    """Yield the clean documents of a piece of a file.

    Args:
        piece: Piece to read.
        config: Configuration of the corpus: cleaning rules, limits, and what to do with records
            that cannot be read.
        splits: How documents are assigned to splits. If they are assigned by position, or by the
            hash of each paragraph, this is done here.
        counts: Counts of what happened while reading; updated.

    Raises:
        CorpusError: A record cannot be used and `config.bad_records` is `error`; the message names
            the file and the line.
    """
    if piece.start == 0 and piece.encoding:
        counts.encodings[str(piece.encoding)] += 1

    def on_mended(lines: Sequence[int]) -> None:
        counts.cleaned[MENDED] += len(lines)
        for line in lines[:MOST_EXAMPLES]:
            where = f"{piece.file.name}, line {line_of(piece, line, config):,}"
            counts.show(MENDED, where)

    source, rules = piece.file.source, config.clean
    if rules.unwrap == "auto":
        rules = rules.model_copy(update={"unwrap": source.documents == "passages"})
    for records in _batches(read_records(piece, config, on_mended)):
        outcomes = [r if isinstance(r, Fault) else _text(piece, r) for r in records]
        texts = ["" if isinstance(outcome, Fault) else outcome for outcome in outcomes]
        suspect = {*suspects(texts)} if rules.mojibake else set()
        for number, (record, outcome) in enumerate(zip(records, outcomes, strict=True)):
            line = 0 if isinstance(record, Fault) else getattr(record, "line", 0)
            if isinstance(outcome, Fault):
                _refuse(piece, outcome, line, config, counts)
                continue
            text = clean(outcome, rules, counts.cleaned, number in suspect)
            is_plain = _is_plain(text)
            attributes = _attributes(piece, record)
            for document, split in _cut(text, source, config, splits):
                fault = _fault(document, config, is_plain)
                if fault is None:
                    counts.documents[piece.file.name] += 1
                    yield Document(document, attributes, split)
                elif fault.reason in _HARMLESS:
                    counts.dropped[fault.reason] += 1
                    counts.show(fault.reason, shorten(document, 60))
                else:
                    _refuse(piece, fault, line, config, counts)


def _batches(records: Iterator[Fields | Fault]) -> Iterator[list[Fields | Fault]]:
    """Yield records in lists of `RECORDS_AT_ONCE`."""
    while batch := [*islice(records, RECORDS_AT_ONCE)]:
        yield batch


def _cut(
    text: str, source: SourceConfig, config: CorpusConfig, splits: SplitConfig
) -> Iterator[tuple[str, Split | None]]:
    """Yield pairs of a document of a clean text and its split.

    The split is None if a later pass decides it.
    """
    parts: list[tuple[str, Split | None]] = [(text, source.split)]
    if splits.by == "position":
        parts = [*split_by_position(text, splits)]
    elif source.documents == "passages" and splits.by == "hash" and not splits.key:
        parts = [*split_by_paragraph(text, splits)]
    for part, split in parts:
        for document in documents_of(part, source, config.passage_characters):
            yield document, split


_HARMLESS = frozenset(("too short", "unwanted word"))


def _text(piece: Piece, record: Fields) -> str | Fault:
    source = piece.file.source
    try:
        return render(source.render, record, source.fields)
    except UnusableRecordError as error:
        return Fault("unusable record", str(error))
    except ValueError:  # from `str`
        return Fault("unusable record", "a number with too many digits")


def _is_plain(text: str) -> bool:
    """Return whether a text contains neither control characters nor lone surrogates."""
    if _native:
        found: bool = _native.is_plain(text)
        return found
    return _CONTROL.search(text) is None and _SURROGATE.search(text) is None


def _fault(document: str, config: CorpusConfig, is_plain: bool) -> Fault | None:
    if len(document) < config.clean.shortest:
        return Fault("too short", "")
    if config.clean.without and pattern_of(config.clean.without).search(document):
        return Fault("unwanted word", "")
    control = None if is_plain else _CONTROL.search(document)
    if control:
        return Fault("control character", f"U+{ord(control[0]):04X} in {shorten(document)}")
    if not is_plain and _SURROGATE.search(document):
        return Fault("half a character", f"a lone surrogate in {shorten(document)}")
    if len(document) > config.longest:
        return Fault("too long", f"{len(document):,} characters")
    return None


def _attributes(piece: Piece, record: Fields | Fault) -> dict[str, str]:
    assert not isinstance(record, Fault)
    source = piece.file.source
    values = {}
    for name in source.attributes:
        key = source.fields.get(name, name)
        if key == "file" and record.get("file") is None:
            values[name] = piece.file.path.stem
        else:
            values[name] = attribute(source.render, record, name, source.fields)
    return values


def _refuse(piece: Piece, fault: Fault, line: int, config: CorpusConfig, counts: Counts) -> None:
    """Count a record or document that cannot be used, or raise an error for it.

    Args:
        piece: Piece that contains the record.
        fault: Why the record cannot be used.
        line: Line number in the piece, counted from 1, used if the fault has none; 0 if unknown.
        config: Configuration of the corpus, which sets whether bad records are skipped.
        counts: Counts of what happened while reading; updated if bad records are skipped.

    Raises:
        CorpusError: Bad records are not skipped.
    """
    skips = config.bad_records == "skip"
    counts.dropped[fault.reason] += skips
    if skips and len(counts.examples.get(fault.reason, ())) >= MOST_EXAMPLES:
        return  # avoid `line_of`, which reads the file from its beginning
    line = line_of(piece, fault.line or line, config)
    where = f"{piece.file.name}, line {line:,}" if line else piece.file.name
    if skips:
        counts.show(fault.reason, f"{where}: {fault.detail}")
        return
    raise CorpusError(
        f"{where}: {fault.reason}: {fault.detail}; repair it, or drop and count such records with "
        "--set corpus.bad_records=skip"
    )
