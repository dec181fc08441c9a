"""Look at a corpus without ingesting it: read its first texts, or iterate over its documents."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from rnnlm.config import CorpusConfig, SplitConfig, shorten
from rnnlm.corpora.byte_ranges import cut_files, read_records
from rnnlm.corpora.cutting import documents_of, paragraphs
from rnnlm.corpora.files import SourceFile, locate
from rnnlm.corpora.reading import Counts, read_documents
from rnnlm.corpora.records import Fault
from rnnlm.corpora.rendering import UnusableRecordError, render
from rnnlm.corpora.unpacking import remove_unused, unpack
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.errors import CorpusError

LOOKED_AT = 32_000_000
"""Most bytes of a corpus that a preview reads."""
RECORDS_LOOKED_AT = 20_000
DOCUMENTS_LOOKED_AT = 20_000
PASSAGE = 2000


@dataclass(frozen=True)
class Preview:
    """What the beginning of a corpus contains.

    Attributes:
        files: All files of the corpus, each with the settings with which it is read.
        documents: The first documents, including repeated ones. For files whose documents are
            passages, these are paragraphs, with their hard-wrapped lines joined.
        characters: Number of characters read.
        distinct: Number of different characters.
        bytes: Size of all files on disk in bytes, or `read` if that is larger.
        read: Size of the text that was read, in bytes of UTF-8.
        joins: Number of line ends at which hard-wrapped lines were joined.
    """

    files: tuple[SourceFile, ...]
    documents: tuple[str, ...]
    characters: int
    distinct: int
    bytes: int
    read: int
    joins: int

    def most(self, what: Callable[[SourceFile], str]) -> str:
        """Return the most common value of a property of the files, weighted by file size.

        Args:
            what: Returns the property, such as the encoding, of a file.
        """
        sizes: Counter[str] = Counter()
        for file in self.files:
            sizes[what(file)] += file.size
        return sizes.most_common(1)[0][0]


def unpacked(cache: Path) -> Path:
    """Return the folder into which packed files are unpacked; `cache` is that for downloads."""
    return cache / "unpacked"


def look(config: CorpusConfig, cache: Path) -> Preview:
    """Read the beginning of a corpus, and return what it contains.

    Packed files stay unpacked in `unpacked(cache)`, where ingestion finds them.

    Args:
        config: Configuration of the corpus.
        cache: Folder for downloaded files.

    Raises:
        CorpusError: The corpus cannot be read, is blank, or repeats a single character.
    """
    files = locate(config, cache)
    total = sum(file.size for file in files)
    seen = read = joins = characters = 0
    documents: list[str] = []
    alphabet: set[str] = set()
    remove_unused(unpacked(cache))
    plain = tuple(unpack(files, unpacked(cache)))
    for file in plain:
        if not file.size or seen >= LOOKED_AT:
            continue
        texts = _first_texts(file, config, LOOKED_AT - seen)
        seen += min(file.size, LOOKED_AT - seen)
        for text in texts:
            alphabet.update(text)
            characters += len(text)
            read += len(text.encode("utf-8", "replace"))
            joined, count = unwrap(text) if file.source.documents == "passages" else (text, 0)
            joins += count
            kept = _documents(joined, file)
            documents += islice(kept, max(0, DOCUMENTS_LOOKED_AT - len(documents)))
    _check_worth_reading(alphabet, files[0].name if len(files) == 1 else config.source)
    return Preview(
        plain, tuple(documents), characters, len(alphabet), max(total, read), read, joins
    )


def documents(config: CorpusConfig, cache: Path) -> Iterator[str]:
    """Yield all documents of a corpus, cleaned but including repeated documents.

    Args:
        config: Configuration of the corpus.
        cache: Folder for downloaded files.

    Raises:
        CorpusError: The corpus cannot be read.
    """
    files = locate(config, cache)
    with tempfile.TemporaryDirectory() as scratch:
        for shard in cut_files(unpack(files, Path(scratch)), config, whole=False):
            for piece in shard:
                for document in read_documents(piece, config, SplitConfig(), Counts()):
                    yield document.text


def _first_texts(file: SourceFile, config: CorpusConfig, size: int) -> list[str]:
    """Return the texts of the first records of a file; for plain text, its beginning as one text.

    Args:
        file: Unpacked file.
        config: Configuration of the corpus.
        size: Approximate number of bytes to read.

    Raises:
        CorpusError: None of these records can be read.
    """
    cut = config.model_copy(update={"shard_bytes": max(1000, size)})
    readable = replace(file, source=file.source.model_copy(update={"documents": "lines"}))
    texts, fault = [], ""
    for piece in islice(chain.from_iterable(cut_files([readable], cut, whole=False)), 1):
        for record in islice(read_records(piece, cut), RECORDS_LOOKED_AT):
            if isinstance(record, Fault):
                fault = fault or f"{record.reason}: {record.detail}"
                continue
            try:
                texts.append(render(file.source.render, record, file.source.fields))
            except UnusableRecordError as error:
                names = [str(name) for name in record]
                hint = f"; name one with --set corpus.render='{{{names[0]}}}'" if names else ""
                fault = fault or f"{error}{hint}"
    if not texts and fault:
        raise CorpusError(f"{file.name}: {fault}")
    return texts


def _documents(text: str, file: SourceFile) -> Iterator[str]:
    if file.source.documents == "passages":
        return paragraphs(text)
    return documents_of(text, file.source, PASSAGE)


def _check_worth_reading(alphabet: set[str], name: str) -> None:
    visible = {character for character in alphabet if not character.isspace()}
    if not visible:
        raise CorpusError(f"{name} is blank (expected text); nothing to learn from")
    if len(visible) == 1:
        raise CorpusError(
            f"{name} contains one character only, {shorten(visible.pop())} "
            "(expected text); nothing to learn from"
        )
