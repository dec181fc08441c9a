"""Compute an audit: a record for each shard, the sum of all records, and figures from the sum.

A record consists of sums and of a sample, which is the shard's first texts. As records can be
added, different processes can audit different shards. Held-out real texts are audited by the same
functions, as if they were another shard.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.audit.disclosure import Disclosure, add_disclosures, count_disclosed
from rnnlm.audit.diversity import DISTINCT_ORDERS, distinct_share, ngram_count, self_bleu
from rnnlm.audit.lengths import Counts, add_counts, count_lengths, quantiles
from rnnlm.audit.novelty import Unit, known_ngrams, taken_characters
from rnnlm.audit.reference import HELD_OUT_AUDIT_FILE, SAMPLE_CHARACTERS, Reference, unit_of
from rnnlm.checksums import once
from rnnlm.colors import Color
from rnnlm.corpora.forms import read, read_subject
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.overlap import Hashes, seen_windows

SAMPLE_TEXTS = 2000
"""Approximate number of texts of a data set that are sampled."""
DISCLOSED = 10
"""Number of disclosed numbers and addresses that are listed, masked; the most frequent ones."""
EXAMPLES = 5
"""How many invalid texts are shown, and how many copies: the first ones."""

_Share = float | None


class ShardAudit(BaseModel):
    """The audit record of one shard, or the sum of several.

    The first group of attributes describes all texts, the second the sample. The *subject* of a
    text is the part that the model makes up: the name of a colour, or else the whole text. The
    *reference* is the index of training text that texts are compared with. Without a reference, the
    attributes that need the training text are None, 0 or empty.

    Attributes:
        texts: Number of texts.
        valid: Number of texts that are valid in their form.
        complete: Number of texts that the model ended; the others were cut at the maximum length.
        copied: Number of copies of training text; None without a reference.
        lengths: Histogram of the subjects' lengths in characters; see `lengths`.
        invalid_examples: The first texts that are not valid, with numbers and addresses of the
            training text masked.
        copied_examples: The first texts that are copies, masked in the same way.
        disclosed: Long numbers, e-mail addresses, rare names and canaries of the training text in
            the texts; None without a reference.

        sample: The first texts, each cut at `SAMPLE_CHARACTERS` characters.
        colors: The colours parsed from the sample.
        near_copied: Number of near copies of training texts, not counting the copies.
        longest_runs: Histogram of the lengths of the texts' longest runs (sequences of characters
            that occur verbatim in the training text).
        taken_characters: Number of characters in runs of at least `novelty.RUN` characters.
        characters: Number of characters of the subjects.
        ngrams: For each n, the number of n-grams that occur in the training text, and the number of
            all n-grams.
        nll_nats: Negative log-likelihood of the whole texts under the reference's n-gram model.
        judged_characters: Number of characters of the whole texts.
        words: Number of words that exist (see `words`), and number of all words.
        base_windows: Number of sampled windows (runs of 13 words) that occur in the base model's
            training text, and number of all sampled windows.
    """

    model_config = ConfigDict(frozen=True)

    texts: int
    valid: int
    complete: int
    copied: int | None = None
    lengths: Counts
    invalid_examples: tuple[str, ...]
    copied_examples: tuple[str, ...] = ()
    disclosed: Disclosure | None = None

    sample: tuple[str, ...]
    colors: tuple[Color, ...]
    near_copied: int | None = None
    longest_runs: Counts = {}
    taken_characters: int = 0
    characters: int = 0
    ngrams: dict[int, tuple[int, int]] = {}
    nll_nats: float = 0.0
    judged_characters: int = 0
    words: tuple[int, int] = (0, 0)
    base_windows: tuple[int, int] = (0, 0)


class Figures(BaseModel):
    """The figures of an audit; the module `measures` has the definition and source of each.

    Quantiles of lengths are dictionaries with keys such as `50%`; from 64 characters on, they may
    be up to 3% too low. A figure is None if there is nothing to compute it from.
    """

    model_config = ConfigDict(frozen=True)

    texts: int
    sampled_texts: int
    valid_share: _Share
    complete_share: _Share
    copied_share: _Share
    near_copied_share: _Share
    longest_run_characters: dict[str, int]
    taken_share: _Share
    known_ngram_share: dict[int, _Share]
    distinct_ngram_share: dict[int, _Share]
    existing_word_share: _Share = None
    base_share: _Share = None
    self_bleu: float | None
    bits_per_character: float | None
    length_characters: dict[str, int]
    disclosed: Disclosure | None = None


class Audit(BaseModel):
    """The figures of a data set, and the same figures for real texts.

    Attributes:
        form: What a text should be; see `CorpusConfig.form`.
        unit: What n counts in `Figures.known_ngram_share`: words or characters.
        generated: Figures of the data set.
        held_out: Figures of real texts that the model was not trained on; None without a reference.
            In that case, the attributes about the training split are 0 or empty.
        duplicate_share: Share of texts that equal an earlier text of the data set; None if not
            counted.
        training_texts: Number of texts in the training split.
        training_length_characters: Quantiles of the training texts' lengths.
        searched_bytes: Number of bytes of training text, from its beginning, that longest runs were
            looked up in.
        length_counts: Histogram of the generated texts' lengths in characters; see `lengths`.
        training_length_counts: Histogram of the training texts' lengths.
        longest_run_counts: Histogram of the lengths of the sampled texts' longest runs, which are
            sequences of characters that occur verbatim in the training text.
        held_out_longest_run_counts: Histogram of the lengths of the real texts' longest runs.
        invalid_examples: The first texts that are not valid in their form.
        copied_examples: The first copies.
    """

    model_config = ConfigDict(frozen=True)

    form: str
    unit: Unit
    generated: Figures
    held_out: Figures | None
    duplicate_share: _Share
    training_texts: int
    training_length_characters: dict[str, int]
    searched_bytes: int
    length_counts: Counts
    training_length_counts: Counts
    longest_run_counts: Counts
    held_out_longest_run_counts: Counts
    invalid_examples: tuple[str, ...]
    copied_examples: tuple[str, ...]


def sample_size(texts: int, shards: int) -> int:
    """Return how many texts to sample from each shard, at least one.

    From all shards together, these are about `SAMPLE_TEXTS` texts.
    """
    return max(1, -(-min(SAMPLE_TEXTS, texts) // shards))


def audit_shard(
    texts: Sequence[str],
    complete: NDArray[np.bool_],
    form: str,
    reference: Reference | None,
    sample: int,
) -> ShardAudit:
    """Return the audit record of a shard's texts.

    Args:
        texts: The texts, in order.
        complete: Whether the model ended each text, shape (texts,).
        form: What a text should be; see `CorpusConfig.form`.
        reference: Reference (index of training text) of the corpus that the model was trained on,
            with the same form; None if it is not available.
        sample: Number of texts, from the first on, that are also examined by the slower functions;
            see `sample_size`.
    """
    readings = [read(form, text) for text in texts]
    subjects = [reading.subject for reading in readings]
    lengths = np.fromiter(map(len, subjects), np.int64, len(subjects))
    invalid = [n for n, reading in enumerate(readings) if not reading.is_valid]

    shown = [text[:SAMPLE_CHARACTERS] for text in texts[:sample]]
    record = ShardAudit(
        texts=len(texts),
        valid=len(texts) - len(invalid),
        complete=int(np.count_nonzero(complete)),
        lengths=count_lengths(lengths),
        invalid_examples=_beginnings([texts[n] for n in invalid[:EXAMPLES]]),
        sample=tuple(shown),
        colors=tuple(reading.color for reading in readings[:sample] if reading.color),
    )
    if reference is None:
        return record
    copied = reference.are_copies(subjects)
    chosen = [subject[:SAMPLE_CHARACTERS] for subject in subjects[:sample]]
    near = reference.training.nearly_has(chosen) & ~copied[:sample]
    matches = reference.suffixes.find(chosen)
    score = reference.judge.score(shown)
    compared = {
        "copied": int(np.count_nonzero(copied)),
        "copied_examples": _beginnings(
            reference.masked([texts[n] for n in np.flatnonzero(copied)[:EXAMPLES]])
        ),
        "invalid_examples": _beginnings(reference.masked([texts[n] for n in invalid[:EXAMPLES]])),
        "near_copied": int(np.count_nonzero(near)),
        "longest_runs": count_lengths(matches.longest),
        "taken_characters": taken_characters(matches),
        "characters": len(matches.lengths),
        "ngrams": known_ngrams(chosen, matches, reference.facts.unit),
        "nll_nats": score.nll_nats,
        "judged_characters": score.characters,
        "words": reference.words.count(chosen),
        "base_windows": _base_windows(chosen, reference.base),
        "disclosed": count_disclosed(
            subjects, reference.identifiers, reference.canaries, chosen, reference.base
        ),
    }
    return record.model_copy(update=compared)


def merge(records: Sequence[ShardAudit]) -> ShardAudit:
    """Return the sum of the records of some shards, which must be given in the shards' order."""
    orders = sorted({n for record in records for n in record.ngrams})
    disclosed = [record.disclosed for record in records if record.disclosed]
    return ShardAudit(
        texts=sum(record.texts for record in records),
        valid=sum(record.valid for record in records),
        complete=sum(record.complete for record in records),
        copied=_sum([record.copied for record in records]),
        lengths=add_counts([record.lengths for record in records]),
        invalid_examples=_first([record.invalid_examples for record in records]),
        copied_examples=_first([record.copied_examples for record in records]),
        disclosed=add_disclosures(disclosed) if disclosed else None,
        sample=tuple(text for record in records for text in record.sample),
        colors=tuple(color for record in records for color in record.colors),
        near_copied=_sum([record.near_copied for record in records]),
        longest_runs=add_counts([record.longest_runs for record in records]),
        taken_characters=sum(record.taken_characters for record in records),
        characters=sum(record.characters for record in records),
        ngrams={n: _pair_sum([record.ngrams[n] for record in records]) for n in orders},
        nll_nats=math.fsum(record.nll_nats for record in records),
        judged_characters=sum(record.judged_characters for record in records),
        words=_pair_sum([record.words for record in records]),
        base_windows=_pair_sum([record.base_windows for record in records]),
    )


def conclude(
    total: ShardAudit, form: str, reference: Reference | None, duplicates: int | None = None
) -> Audit:
    """Return the audit of a data set: its figures, and those of the held-out real texts.

    Args:
        total: The sum of the records of all shards.
        form: What a text should be; see `CorpusConfig.form`.
        reference: The reference that the records were made with, or None. The audit of its held-out
            texts is computed once and kept in its folder.
        duplicates: Number of texts that equal an earlier text of the data set, if counted.

    Raises:
        StorageError: The reference's folder cannot be written to.
    """
    facts = reference.facts if reference else None
    real = _audit_held_out(reference) if reference else None
    records = [total, real] if real else [total]
    subjects = [[read_subject(form, text) for text in record.sample] for record in records]
    most = {n: min(ngram_count(texts, n) for texts in subjects) for n in DISTINCT_ORDERS}
    unit = facts.unit if facts else unit_of(total.lengths)
    generated, *held_out = (
        _figures(record, texts, most, unit) for record, texts in zip(records, subjects, strict=True)
    )
    return Audit(
        form=form,
        unit=unit,
        generated=generated,
        held_out=held_out[0] if held_out else None,
        duplicate_share=None if duplicates is None else _share(duplicates, total.texts),
        training_texts=facts.documents if facts else 0,
        training_length_characters=quantiles(facts.lengths) if facts else {},
        searched_bytes=facts.searched_bytes if facts else 0,
        length_counts=total.lengths,
        training_length_counts=facts.lengths if facts else {},
        longest_run_counts=total.longest_runs,
        held_out_longest_run_counts=real.longest_runs if real else {},
        invalid_examples=total.invalid_examples,
        copied_examples=total.copied_examples,
    )


def _audit_held_out(reference: Reference) -> ShardAudit:
    facts, texts = reference.facts, reference.held_out

    def work() -> ShardAudit:
        complete = np.ones(len(texts), dtype=np.bool_)
        return audit_shard(texts, complete, facts.form, reference, len(texts))

    return once(reference.folder / HELD_OUT_AUDIT_FILE, work, ShardAudit)


def _figures(
    record: ShardAudit, subjects: Sequence[str], most: dict[int, int], unit: Unit
) -> Figures:
    bits = record.nll_nats / NATS_PER_BIT
    return Figures(
        texts=record.texts,
        sampled_texts=len(record.sample),
        valid_share=_share(record.valid, record.texts),
        complete_share=_share(record.complete, record.texts),
        copied_share=_share(record.copied, record.texts),
        near_copied_share=_share(record.near_copied, len(record.sample)),
        longest_run_characters=quantiles(record.longest_runs),
        taken_share=_share(record.taken_characters, record.characters),
        known_ngram_share={n: _share(*counts) for n, counts in record.ngrams.items()},
        distinct_ngram_share={n: distinct_share(subjects, n, most[n]) for n in DISTINCT_ORDERS},
        existing_word_share=_share(*record.words),
        base_share=_share(*record.base_windows),
        self_bleu=self_bleu(subjects, unit),
        bits_per_character=_share(bits, record.judged_characters),
        length_characters=quantiles(record.lengths),
        disclosed=record.disclosed.first(DISCLOSED) if record.disclosed else None,
    )


def _share(part: float | None, whole: int) -> _Share:
    return part / whole if whole and part is not None else None


def _base_windows(texts: Sequence[str], known: Hashes) -> tuple[int, int]:
    return _pair_sum([seen_windows(text, known) for text in texts]) if len(known) else (0, 0)


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _pair_sum(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _first(several: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(text for texts in several for text in texts)[:EXAMPLES]


def _beginnings(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text[:SAMPLE_CHARACTERS] for text in texts)
