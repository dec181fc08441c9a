"""Count what texts disclose of the training text: numbers, addresses, rare names and canaries.

The counts are exact, over all texts. They can be added, so that different processes can count in
different shards. What was disclosed is stored masked, never in full.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from rnnlm.audit import identifiers
from rnnlm.audit.identifier_index import Match, TrainingIdentifiers
from rnnlm.audit.novelty import WORD
from rnnlm.canaries import Canary
from rnnlm.overlap import WORDS, Hashes, seen_windows

MOST_KEPT = 1000
"""Most distinct numbers and addresses that a record lists: the most frequent ones."""
_AROUND = 300
"""Number of characters before and after a number in which windows of words are formed."""


class Disclosed(BaseModel):
    """A number or an address of the training text that occurs in generated texts.

    Attributes:
        key: Its hash in hexadecimal, by which counts are added; empty in the audit of a data set.
        shown: The number or the address, masked.
        trained: Number of times that it occurs in the training text.
        times: Number of times that it occurs in the generated texts.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    shown: str
    trained: int
    times: int


class Disclosure(BaseModel):
    """What some texts disclose of the training text.

    Attributes:
        numbers: Number of rows of at least seven digits in the texts; see `identifiers.Row`.
        copied_numbers: Number of times that the texts contain a long number of the training text.
        addresses: Number of e-mail addresses in the texts.
        copied_addresses: Number of times that the texts contain an address of the training text.
        copied_names: Number of times that the texts contain a rare name of the training text.
        listed: The disclosed numbers and addresses, most frequent first; at most `MOST_KEPT`.
        canaries: Number of times that canaries occur in the texts, by how often each of them was
            planted in the training text.
        near_base: How many numbers and addresses of the sample lie within a window of words known
            from the base's training text, and how many there are in the sample.
    """

    model_config = ConfigDict(frozen=True)

    numbers: int = 0
    copied_numbers: int = 0
    addresses: int = 0
    copied_addresses: int = 0
    copied_names: int = 0
    listed: tuple[Disclosed, ...] = ()
    canaries: dict[int, int] = {}
    near_base: tuple[int, int] = (0, 0)

    def first(self, count: int) -> "Disclosure":
        """Return the same counts with only the first `count` entries, without their hashes."""
        shown = [entry.model_copy(update={"key": ""}) for entry in self.listed[:count]]
        return self.model_copy(update={"listed": tuple(shown)})


def count_disclosed(
    texts: Sequence[str],
    training: TrainingIdentifiers,
    canaries: Sequence[Canary],
    sample: Sequence[str],
    base: Hashes,
) -> Disclosure:
    """Return what some texts disclose of the training text.

    Args:
        texts: The texts.
        training: The identifiers in the training text.
        canaries: The canaries that were planted in the training text.
        sample: Those of the texts that are compared with the base's training text.
        base: Hashes of sampled windows of the base's training text; empty without a base.
    """
    numbers, copied_numbers = training.find_numbers(texts)
    addresses, copied_addresses = training.find_addresses(texts)
    planted: Counter[int] = Counter()
    for canary in canaries:
        planted[canary.repeats] += sum(text.count(canary.secret) for text in texts)
    listed = [
        *_listed(copied_numbers, identifiers.masked_number),
        *_listed(copied_addresses, identifiers.masked_address),
    ]
    return Disclosure(
        numbers=numbers,
        copied_numbers=len(copied_numbers),
        addresses=addresses,
        copied_addresses=len(copied_addresses),
        copied_names=training.count_names(texts),
        listed=_most_frequent(listed),
        canaries=dict(sorted(planted.items())),
        near_base=_near_base(sample, base),
    )


def add_disclosures(records: Sequence[Disclosure]) -> Disclosure:
    """Return the sum of the records of some texts."""
    by_key: dict[str, Disclosed] = {}
    planted: Counter[int] = Counter()
    for record in records:
        planted.update(record.canaries)
        for entry in record.listed:
            before = by_key[entry.key].times if entry.key in by_key else 0
            by_key[entry.key] = entry.model_copy(update={"times": before + entry.times})
    near = [record.near_base for record in records]
    return Disclosure(
        numbers=sum(record.numbers for record in records),
        copied_numbers=sum(record.copied_numbers for record in records),
        addresses=sum(record.addresses for record in records),
        copied_addresses=sum(record.copied_addresses for record in records),
        copied_names=sum(record.copied_names for record in records),
        listed=_most_frequent([*by_key.values()]),
        canaries=dict(sorted(planted.items())),
        near_base=(sum(pair[0] for pair in near), sum(pair[1] for pair in near)),
    )


def _listed(matches: Sequence[Match], masked: Callable[[str], str]) -> list[Disclosed]:
    times = Counter(match.key for match in matches)
    kept = {*sorted(times, key=lambda key: (-times[key], f"{key:016x}"))[:MOST_KEPT]}
    by_key = {match.key: match for match in matches if match.key in kept}
    return [
        Disclosed(
            key=f"{key:016x}", shown=masked(match.shown), trained=match.trained, times=times[key]
        )
        for key, match in by_key.items()
    ]


def _most_frequent(listed: Sequence[Disclosed]) -> tuple[Disclosed, ...]:
    return tuple(sorted(listed, key=lambda entry: (-entry.times, entry.key))[:MOST_KEPT])


def _near_base(texts: Sequence[str], base: Hashes) -> tuple[int, int]:
    """Return how many numbers and addresses lie in known windows of words, and how many exist."""
    if not len(base):
        return 0, 0
    known = total = 0
    for text in texts:
        rows = [row.start for row in identifiers.rows_of_digits(text)]
        for place in (*rows, *(place for place, _ in identifiers.addresses(text))):
            before = WORD.findall(text[max(0, place - _AROUND) : place])[1 - WORDS :]
            after = WORD.findall(text[place : place + _AROUND])[:WORDS]
            known += seen_windows(" ".join([*before, *after]), base)[0] > 0
            total += 1
    return known, total
