"""The reference: an index of a corpus that generated texts are compared with.

It is built once per corpus, and is memory-mapped afterwards. Its folder has these files:

    essences.npy …           hashes and signatures of the training split, to find copies; see
                             `copies`
    text.npy places.npy …    suffix array of the beginning of the training split, to find runs and
                             copies; see `suffixes`
    ngram/                   n-gram model of the training split; see `likeness`
    colors.npy               colours in the training split, if it has any
    words.npy                hashes of words that exist; see `words`
    numbers.npy …            hashes of long numbers, e-mail addresses and rare names in the training
                             split; see `identifier_index`
    canaries.json            canaries that were planted in the training split; see `rnnlm.canaries`
    base.npy                 hashes of sampled windows (runs of 13 words) of a base model's training
                             text; see `rnnlm.overlap`
    held_out.json            real texts for comparison: a sample of the validation split
    reference.json           inputs of the reference, lengths of the training texts, and digests of
                             all files above; written after them
    held_out-audit.json      audit of the texts in held_out.json; written by the first audit

A folder without `reference.json` is unfinished, and one whose files do not match their digests is
damaged; `build_reference` builds either again.
"""

import hashlib
import heapq
import itertools
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.audit import identifiers
from rnnlm.audit.copies import Training, TrainingWriter, hashes, open_training
from rnnlm.audit.identifier_index import (
    TrainingIdentifiers,
    open_identifiers,
    write_identifiers,
)
from rnnlm.audit.lengths import Counts, add_counts, count_lengths, quantiles
from rnnlm.audit.likeness import Judge, open_judge, write_judge
from rnnlm.audit.novelty import RUN, Unit
from rnnlm.audit.suffixes import SuffixArray, open_suffixes, write_array, write_suffixes
from rnnlm.audit.words import ExistingWords, open_words, write_words
from rnnlm.canaries import Canary
from rnnlm.checksums import first_fault, list_files, read_record, write_record
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.duplicates import SHORTEST
from rnnlm.corpora.forms import Reading, normalized, read, read_subject
from rnnlm.errors import DamagedFileError, EmptySplitError, GenerationError, TokenizerError
from rnnlm.overlap import Hashes
from rnnlm.saved import MEND, read_array, read_json
from rnnlm.storage import file_digest, value_digest, write_json
from rnnlm.tokenizer import Tokenizer

VERSION = "5"
FACTS_FILE = "reference.json"
HELD_OUT_AUDIT_FILE = "held_out-audit.json"
HELD_OUT_TEXTS = 2000
SAMPLE_CHARACTERS = 5000
"""Most characters of a sampled text that are examined, from its beginning. A longer held-out text
is cut into several texts."""
MOST_COLORS = 100_000

_HELD_OUT_FILE, _COLORS_FILE, _BASE_FILE = "held_out.json", "colors.npy", "base.npy"
_CANARIES_FILE = "canaries.json"
_NGRAM_FOLDER = "ngram"
_TEXTS_AT_ONCE = 5000


class ReferenceFacts(BaseModel):
    """Facts about the corpus that a reference was built from.

    Attributes:
        digest: sha256 of the inputs: the corpus, form, tokenizer or n-gram model, windows of the
            base model, canaries, and `VERSION`.
        form: What a text should be; see `CorpusConfig.form`.
        unit: What the n-grams of an audit consist of: words, or characters if half of the training
            texts are too short for n-grams of words.
        documents: Number of training texts.
        lengths: Histogram of the training texts' lengths in characters; see `lengths`.
        searched_bytes: Number of bytes of the training text, from its beginning, that longest runs
            are looked up in.
        files: sha256 of each file of the reference; empty if an earlier version wrote it.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    form: str
    unit: Unit
    documents: int
    lengths: Counts
    searched_bytes: int
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Reference:
    """An open reference.

    Attributes:
        folder: Folder of the reference; results that depend on the reference alone may be stored
            there.
        facts: Facts about the corpus that it was built from.
        training: Index that finds copies of whole training texts.
        suffixes: Suffix array that finds longest runs, and texts that occur within training texts.
        judge: N-gram model of the training split.
        words: The words that exist.
        identifiers: Index of the long numbers, e-mail addresses and rare names.
        canaries: The canaries that were planted in the training split.
        held_out: Real texts in random order, each of at most `SAMPLE_CHARACTERS` characters.
        colors: Red, green and blue channels of the colours in the training split, shape
            (colours, 3).
        base: Sorted hashes of sampled windows (runs of 13 words) of the base model's training text;
            empty without a base.
    """

    folder: Path
    facts: ReferenceFacts
    training: Training
    suffixes: SuffixArray
    judge: Judge
    words: ExistingWords
    identifiers: TrainingIdentifiers
    canaries: tuple[Canary, ...]
    held_out: tuple[str, ...]
    colors: NDArray[np.uint8]
    base: Hashes

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the reference that `build_reference` wrote; large arrays are memory-mapped.

        Raises:
            GenerationError: The reference is missing or incomplete.
        """
        facts = _read_facts(folder)
        if facts is None:
            raise GenerationError(_incomplete(folder, f"{FACTS_FILE} is missing or damaged"))
        try:
            return cls(
                folder=folder,
                facts=facts,
                training=open_training(folder),
                suffixes=open_suffixes(folder),
                judge=open_judge(folder / _NGRAM_FOLDER),
                words=open_words(folder),
                identifiers=open_identifiers(folder),
                canaries=read_json(folder / _CANARIES_FILE, tuple[Canary, ...], MEND),
                held_out=read_json(folder / _HELD_OUT_FILE, tuple[str, ...], MEND),
                colors=read_array(folder / _COLORS_FILE, MEND),
                base=read_array(folder / _BASE_FILE, MEND, mapped=True),
            )
        except (DamagedFileError, TokenizerError, OSError, ValueError) as error:
            raise GenerationError(_incomplete(folder, str(error))) from error

    def copies(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text is a copy of training text, shape (texts,).

        `are_copies` defines what a copy is.
        """
        return self.are_copies([read_subject(self.facts.form, text) for text in texts])

    def are_copies(self, subjects: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text is a copy of training text, given the texts' subjects.

        A copy equals a whole training text, ignoring case and spacing; or it has at least `RUN`
        characters and occurs verbatim within a training text. Shorter texts occur within others by
        chance. So do names of colours, for which only the first rule applies.

        Args:
            subjects: Subject of each text: a colour's name, or else the whole text; see
                `forms.read_subject`.

        Returns:
            Shape (texts,).
        """
        found = self.training.has([normalized(subject) for subject in subjects])
        if self.facts.form == "color":
            return found
        stripped = [subject.strip() for subject in subjects]
        long = [n for n in np.flatnonzero(~found).tolist() if len(stripped[n]) >= RUN]
        found[long] = self.suffixes.holds([stripped[n] for n in long])
        return found

    def have_copied_numbers(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text contains a number or an address of the training text.

        These are long numbers, e-mail addresses, and the secrets of canaries; of a colour, only the
        name is searched. Shape (texts,).
        """
        subjects = [read_subject(self.facts.form, text) for text in texts]
        found = self.identifiers.has_copied(subjects)
        for canary in self.canaries:
            found |= np.array([canary.secret in subject for subject in subjects], dtype=np.bool_)
        return found

    def masked(self, texts: Sequence[str]) -> list[str]:
        """Return texts as they may be shown to readers.

        In a text with a long number or an e-mail address of the training text, all long numbers and
        addresses are masked; its length stays the same.
        """
        copied = self.have_copied_numbers(texts)
        return [
            identifiers.masked(text) if is_copied else text
            for text, is_copied in zip(texts, copied.tolist(), strict=True)
        ]


def build_reference(
    corpus_uri: str,
    corpus_digest: str,
    form: str,
    words: Tokenizer,
    out: Path,
    ngram: Path | None = None,
    base: Hashes | None = None,
    canaries: Sequence[Canary] = (),
) -> Reference:
    """Write the reference of a corpus into `out`, unless an intact one is there, and open it.

    Args:
        corpus_uri: Folder of the corpus, which `ingest` wrote.
        corpus_digest: Digest of the corpus.
        form: What a text should be; see `CorpusConfig.form`.
        words: Tokenizer for counting n-grams.
        out: Folder for this reference only; created if needed.
        ngram: Checkpoint of an n-gram model to use instead of counting n-grams; None to count.
        base: Hashes of sampled windows (runs of 13 words) of the base model's training text; None
            without a base.
        canaries: The canaries that the model was trained on in addition to the corpus.

    Raises:
        CorpusError: `corpus_uri` contains no documents.
        EmptySplitError: The training or the validation split is empty.
        CheckpointError: `ngram` cannot be read or contains another kind of model.
        StorageError: A file cannot be written.
    """
    judge = file_digest(ngram) if ngram else words.to_json()
    windows = np.zeros(0, np.uint64) if base is None else base
    read_before = hashlib.sha256(windows.tobytes()).hexdigest()
    digest = value_digest([VERSION, corpus_digest, form, judge, read_before, [*canaries]])
    if (known := _open_known(out, digest)) is not None:
        return known
    shutil.rmtree(out, ignore_errors=True)  # files of another reference or of an unfinished one
    out.mkdir(parents=True, exist_ok=True)
    documents, lengths = _write_training(corpus_uri, form, out)
    searched = write_suffixes(_subjects(corpus_uri, form), out)
    write_judge(out / _NGRAM_FOLDER, iter_texts(corpus_uri, "train"), words, ngram)
    vocabulary = write_words(out, iter_texts(corpus_uri, "train"))
    planted = (canary.text for canary in canaries for _ in range(canary.repeats))
    write_identifiers(out, itertools.chain(_subjects(corpus_uri, form), planted), vocabulary)
    write_json(out / _CANARIES_FILE, [*canaries])
    write_array(out / _BASE_FILE, windows)
    write_json(out / _HELD_OUT_FILE, _held_out(corpus_uri))
    facts = ReferenceFacts(
        digest=digest,
        form=form,
        unit=unit_of(lengths),
        documents=documents,
        lengths=lengths,
        searched_bytes=searched,
        files=list_files(out),
    )
    write_record(out / FACTS_FILE, facts.model_dump())
    return Reference.open(out)


def _incomplete(folder: Path, why: str) -> str:
    return f"no complete reference of training texts in {folder} ({why}); generate again"


def _open_known(folder: Path, digest: str) -> Reference | None:
    """Return the reference in a folder, or None if it must be built.

    If it is damaged, a warning is logged.

    Args:
        folder: Folder of the reference.
        digest: Digest that the inputs of the reference should have.
    """
    if not (folder / FACTS_FILE).exists():
        return None
    facts = _read_facts(folder)
    if facts is not None and (facts.digest != digest or not facts.files):
        return None  # it has other inputs, or an earlier version built it, without digests
    fault = first_fault(folder, facts.files) if facts else f"{FACTS_FILE} is damaged"
    if fault is None:
        return Reference.open(folder)
    logging.getLogger(__name__).warning("%s: %s; building it again", folder, fault)
    return None


def _read_facts(folder: Path) -> ReferenceFacts | None:
    """Return the facts of a reference; None if they are missing or damaged."""
    facts: ReferenceFacts | None = read_record(folder / FACTS_FILE, ReferenceFacts)
    return facts


def unit_of(lengths: Counts) -> Unit:
    """Return the unit of n-grams for texts of these lengths; see `ReferenceFacts.unit`."""
    return "character" if quantiles(lengths).get("50%", 0) < SHORTEST else "word"


def _write_training(corpus_uri: str, form: str, out: Path) -> tuple[int, Counts]:
    """Write the index that finds copies, and the colours in the training split.

    Returns:
        The number of training texts, and the histogram of their lengths.
    """
    writer, counts, documents = TrainingWriter(), [], 0
    colors: list[tuple[int, int, int]] = []
    for readings in _readings(corpus_uri, form):
        subjects = [reading.subject for reading in readings]
        writer.add(subjects)
        counts.append(count_lengths(np.fromiter(map(len, subjects), np.int64, len(subjects))))
        documents += len(subjects)
        colors += [reading.color[1:] for reading in readings if reading.color]
    if not documents:
        raise EmptySplitError(f"the train split of {corpus_uri} is empty; provide more text")
    writer.write(out)
    write_array(out / _COLORS_FILE, np.array(colors[:MOST_COLORS], np.uint8).reshape(-1, 3))
    return documents, add_counts(counts)


def _subjects(corpus_uri: str, form: str) -> Iterator[str]:
    return (read_subject(form, text) for text in iter_texts(corpus_uri, "train"))


def _readings(corpus_uri: str, form: str) -> Iterator[list[Reading]]:
    texts = iter_texts(corpus_uri, "train")
    while batch := [read(form, text) for text in itertools.islice(texts, _TEXTS_AT_ONCE)]:
        yield batch


def _held_out(corpus_uri: str) -> list[str]:
    """Return a random sample of validation texts in random order.

    These are the texts with the lowest hashes, so the sample is always the same.
    """
    chosen = heapq.nsmallest(HELD_OUT_TEXTS, _hashed_pieces(corpus_uri))
    if not chosen:
        raise EmptySplitError(f"the validation split of {corpus_uri} is empty; provide more text")
    return [text for _, text in chosen]


def _hashed_pieces(corpus_uri: str) -> Iterator[tuple[int, str]]:
    for text in iter_texts(corpus_uri, "validation"):
        starts = range(0, len(text), SAMPLE_CHARACTERS)
        pieces = [text[start : start + SAMPLE_CHARACTERS] for start in starts]
        yield from zip(hashes(pieces).tolist(), pieces, strict=True)
