"""Find the long numbers, e-mail addresses and rare names of the training text in other texts.

The index of the training text holds only hashes: those of all long numbers and e-mail addresses,
each with its number of occurrences, and those of the rare names. The module `identifiers` defines
numbers, addresses and names. A name is rare if it occurs at most `RARE` times in the training text
and one of its words is not in the dictionary of that text's language.

A number of the training text counts as *disclosed* wherever its digits occur within a row of digits
in a text, and an address wherever it occurs within an address. Numbers are found by a polynomial
hash of their digits (Karp and Rabin 1987). The hashes of all windows of a row are looked up at
once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit import identifiers
from rnnlm.audit.copies import hashes
from rnnlm.audit.identifiers import MOST_DIGITS, Row
from rnnlm.audit.suffixes import write_array
from rnnlm.audit.words import MOST_CHARACTERS, Vocabulary
from rnnlm.overlap import Hashes, mixed

RARE = 4
"""Most occurrences of a rare name in the training text."""
NUMBERS_FILE, ADDRESSES_FILE = "numbers.npy", "addresses.npy"
DOMAINS_FILE, NAMES_FILE = "domains.npy", "names.npy"
_AT_ONCE = 1 << 20
"""Approximate number of characters that are searched together."""
_PRIME = 0x9E3779B97F4A7C15
_INVERSE = pow(_PRIME, -1, 1 << 64)

Table = NDArray[np.uint64]
"""Hashes in ascending order, the number of occurrences of each, and its length in digits (0 for an
address); shape (3, entries)."""


class Match(NamedTuple):
    """A number or address of the training text within another text.

    Attributes:
        text: Index of the text.
        shown: The number's digits, or the address.
        key: Its hash.
        trained: Number of times that it occurs in the training text.
    """

    text: int
    shown: str
    key: int
    trained: int


@dataclass(frozen=True)
class TrainingIdentifiers:
    """The index of a training text's numbers, addresses and rare names; memory-mapped.

    Attributes:
        numbers: The long numbers.
        addresses: The e-mail addresses.
        domains: Hashes of the domains of the addresses, in ascending order.
        names: Hashes of the rare names, in ascending order.
    """

    numbers: Table
    addresses: Table
    domains: Hashes
    names: Hashes

    def find_numbers(self, texts: Sequence[str]) -> tuple[int, list[Match]]:
        """Return how many rows of at least `LONG` digits the texts have, and the disclosed numbers.

        Of matches that overlap within a row of digits, only the longest is returned.
        """
        total, found = 0, []
        for joined, starts in _joined(texts):
            rows = [*identifiers.rows_of_digits(joined)]
            total += len(rows)
            for number, digits, key, trained in self._among(rows):
                found.append(Match(_text_at(starts, rows[number].start), digits, key, trained))
        return total, found

    def find_addresses(self, texts: Sequence[str]) -> tuple[int, list[Match]]:
        """Return how many e-mail addresses the texts have, and those of the training text."""
        total, found = 0, []
        for joined, starts in _joined(texts):
            there = [*identifiers.addresses(joined)]
            total += len(there)
            known = self._known_addresses([address for _, address in there])
            for (place, _), (address, entry) in zip(there, known, strict=True):
                if entry >= 0:
                    key, trained = int(self.addresses[0, entry]), int(self.addresses[1, entry])
                    found.append(Match(_text_at(starts, place), address, key, trained))
        return total, found

    def count_names(self, texts: Sequence[str]) -> int:
        """Return how often the texts contain a rare name of the training text.

        A rare name of two words counts once, even if one of the words is a rare name by itself.
        """
        runs: Counter[str] = Counter()
        for joined, _ in _joined(texts):
            runs.update(identifiers.capitalised(joined))
        words = [identifiers.words_of_run(run) for run in runs]
        two = [identifiers.pairs(several) for several in words]
        rare_words = self._are_rare(words)
        rare_pairs = self._are_rare(two)
        total = 0
        for times, singles, doubles in zip(runs.values(), rare_words, rare_pairs, strict=True):
            covered, count = -1, 0
            for place, is_rare in enumerate(singles):
                if place <= covered:
                    continue
                if place < len(doubles) and doubles[place]:
                    covered, count = place + 1, count + 1
                elif is_rare:
                    count += 1
            total += times * count
        return total

    def has_copied(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text contains a long number or address of the training text."""
        copied = np.zeros(len(texts), dtype=np.bool_)
        for _, found in (self.find_numbers(texts), self.find_addresses(texts)):
            copied[[match.text for match in found]] = True
        return copied

    def _known_addresses(self, addresses: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield the longest known address within each address, and its index; −1 if there is none.

        Addresses within an address are formed only if its domain begins with a known domain.
        """
        beginnings = [identifiers.domain_beginnings(address) for address in addresses]
        flags = iter(self._are_domains([*chain.from_iterable(beginnings)]))
        possible: list[list[str]] = []
        for address, several in zip(addresses, beginnings, strict=True):
            domains = [domain for domain in several if next(flags)]
            endings = identifiers.local_endings(address) if domains else []
            possible.append([f"{local}@{domain}" for domain in domains for local in endings])
        entries = iter(_find(self.addresses[0], hashes([*chain.from_iterable(possible)])).tolist())
        for several in possible:
            found = [(within, entry) for within in several if (entry := next(entries)) >= 0]
            yield found[0] if found else ("", -1)

    def _are_domains(self, beginnings: Sequence[str]) -> list[bool]:
        found: list[bool] = (_find(self.domains, hashes(beginnings)) >= 0).tolist()
        return found

    def _are_rare(self, names: Sequence[Sequence[str]]) -> list[list[bool]]:
        keys = hashes([*chain.from_iterable(names)])
        flags = iter((_find(self.names, keys) >= 0).tolist())
        return [[next(flags) for _ in several] for several in names]

    def _among(self, rows: Sequence[Row]) -> Iterator[tuple[int, str, int, int]]:
        """Yield the numbers of the training text within rows: row, digits, hash, occurrences."""
        if not rows:
            return
        digits = _Digits([row.digits for row in rows])
        hits: list[tuple[int, int, int, int, int]] = []
        for length in np.unique(self.numbers[2]).astype(int).tolist():
            begins = digits.windows(length)
            places = _find(self.numbers[0], digits.hashes(begins, length))
            there, known = begins[places >= 0], self.numbers[:, places[places >= 0]].tolist()
            in_row = digits.rows_of(there)
            within = (there - digits.starts[in_row]).tolist()
            sizes = [-length] * len(within)
            hits += zip(in_row.tolist(), sizes, within, known[0], known[1], strict=True)
        taken: dict[int, list[tuple[int, int]]] = {}
        for row, minus, begin, key, trained in sorted(hits):  # in each row, the longest first
            end = begin - minus
            spans = taken.setdefault(row, [])
            if all(end <= other or begin >= until for other, until in spans):
                spans.append((begin, end))
                yield row, rows[row].digits[begin:end], key, trained


class _Digits:
    """Rows of digits with the prefix sums from which the hash of any window is computed.

    The hash of the digits d₀ … dₙ₋₁ is Σ (dᵢ + 1) pⁱ modulo 2⁶⁴, mixed with n.
    """

    def __init__(self, rows: Sequence[str]) -> None:
        self.lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        self.starts = np.cumsum(self.lengths) - self.lengths
        values = np.frombuffer("".join(rows).encode("ascii"), np.uint8).astype(np.uint64)
        count = len(values)
        powers = np.full(count, _PRIME, np.uint64)
        powers[:1] = 1
        terms = (values - np.uint64(ord("0") - 1)) * np.cumprod(powers)
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms)])
        self._back = np.full(count, _INVERSE, np.uint64)
        self._back[:1] = 1
        self._back = np.cumprod(self._back)
        self._left = np.repeat(self.starts + self.lengths, self.lengths) - np.arange(count)

    def windows(self, length: int) -> NDArray[np.int64]:
        """Return where windows of this length begin that are within one row."""
        return np.flatnonzero(self._left >= length)

    def hashes(self, begins: NDArray[np.int64], lengths: NDArray[np.int64] | int) -> Hashes:
        """Return the hash of each window."""
        sums = self._sums[begins + lengths] - self._sums[begins]
        sizes = np.asarray(lengths, dtype=np.uint64) << np.uint64(32)
        return mixed((sums * self._back[begins]) ^ sizes)

    def rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of the row that contains each of some digits."""
        return np.searchsorted(self.starts, places, side="right") - 1


def write_identifiers(folder: Path, texts: Iterable[str], known: Vocabulary) -> None:
    """Write the index of the identifiers in the texts of a training split into `folder`.

    Names are taken from the first `MOST_CHARACTERS` characters, numbers and addresses from all.

    Args:
        folder: Folder to write to.
        texts: The texts of the training split.
        known: The words of these texts, and the dictionary of their language.

    Raises:
        StorageError: A file cannot be written.
    """
    numbers, lengths, addresses, domains, words, two = [], [], [], [], [], []
    left = MOST_CHARACTERS
    for text in _lots(texts):
        digits = _Digits([*_long_numbers(text)])
        numbers.append(digits.hashes(digits.starts, digits.lengths))
        lengths.append(digits.lengths)
        found = [address for _, address in identifiers.addresses(text)]
        addresses.append(hashes(found))
        domains.append(np.unique(hashes([address.partition("@")[2] for address in found])))
        if left > 0:
            singles, doubles = _candidates(text, known)
            words.append(hashes(singles))
            two.append(doubles)
            left -= len(text)
    write_array(folder / NUMBERS_FILE, _table(numbers, lengths))
    write_array(folder / ADDRESSES_FILE, _table(addresses))
    write_array(folder / DOMAINS_FILE, _distinct(domains))
    pairs, times = np.unique(_all(two), return_counts=True)
    write_array(folder / NAMES_FILE, _distinct([*words, pairs[times <= RARE]]))


def open_identifiers(folder: Path) -> TrainingIdentifiers:
    """Return the index that `write_identifiers` wrote; its arrays are memory-mapped."""
    files = (NUMBERS_FILE, ADDRESSES_FILE, DOMAINS_FILE, NAMES_FILE)
    mapped = (np.load(folder / name, mmap_mode="r") for name in files)
    return TrainingIdentifiers(*map(np.asarray, mapped))  # plain arrays are faster to index


def _long_numbers(text: str) -> Iterator[str]:
    for row in identifiers.rows_of_digits(text):
        if len(row.digits) <= MOST_DIGITS:
            yield row.digits
        yield from (group for group in row.groups if group != row.digits)


def _candidates(text: str, known: Vocabulary) -> tuple[list[str], Hashes]:
    """Return the rare single words in a text's names, and hashes of pairs that may be rare.

    A pair may be rare if one of its words is not in the dictionary. Its hash is returned once per
    occurrence.
    """
    singles: set[str] = set()
    doubles: list[str] = []
    for run, times in Counter(identifiers.capitalised(text)).items():
        words = identifiers.words_of_run(run)
        unlisted = {word for word in words if word not in known.dictionary}
        singles |= {word for word in unlisted if known.count(word) <= RARE}
        for pair in identifiers.pairs(words) if unlisted else ():
            if not unlisted.isdisjoint(pair.split(" ")):
                doubles += [pair] * times
    return sorted(singles), hashes(doubles)


def _table(keys: Sequence[Hashes], lengths: Sequence[NDArray[np.int64]] = ()) -> Table:
    found, first, times = np.unique(_all(keys), return_index=True, return_counts=True)
    sizes = np.concatenate(lengths)[first] if lengths else np.zeros(len(found), np.int64)
    return np.stack([found, times.astype(np.uint64), sizes.astype(np.uint64)])


def _distinct(keys: Sequence[Hashes]) -> Hashes:
    return np.unique(_all(keys))


def _all(keys: Sequence[Hashes]) -> Hashes:
    return np.concatenate([np.zeros(0, np.uint64), *keys])


def _lots(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts joined by line ends, about a million characters at a time."""
    lot: list[str] = []
    size = 0
    for text in texts:
        lot.append(text)
        size += len(text) + 1
        if size >= _AT_ONCE:
            yield "\n".join(lot)
            lot, size = [], 0
    if lot:
        yield "\n".join(lot)


def _joined(texts: Sequence[str]) -> Iterator[tuple[str, tuple[int, NDArray[np.int64]]]]:
    """Yield the texts in batches joined by line ends, each with the places where its texts begin.

    Yields:
        The joined batch; and the index of its first text with the offsets of its texts.
    """
    first = 0
    while first < len(texts):
        last, size = first, 0
        while last < len(texts) and size < _AT_ONCE:
            size += len(texts[last]) + 1
            last += 1
        lengths = np.fromiter((len(text) + 1 for text in texts[first:last]), np.int64, last - first)
        yield "\n".join(texts[first:last]), (first, np.cumsum(lengths) - lengths)
        first = last


def _text_at(starts: tuple[int, NDArray[np.int64]], place: int) -> int:
    first, offsets = starts
    return first + int(np.searchsorted(offsets, place, side="right")) - 1


def _find(known: Hashes, wanted: Hashes) -> NDArray[np.int64]:
    """Return the index of each hash among the sorted known ones, or -1; shape (wanted,)."""
    if not len(known) or not len(wanted):
        return np.full(len(wanted), -1, dtype=np.int64)
    places = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    return np.where(np.asarray(known[places] == wanted), places, -1)
