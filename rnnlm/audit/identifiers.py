"""Find what may identify a person: long numbers, e-mail addresses and names.

A *long number* has `LONG` to `MOST_DIGITS` digits, with at most one space or dash between two
digits, such as `555-0100 123` or `4929 1234 5678 9012`. Two numbers are equal if their digits are.
Longer rows of digits, such as tables, are not numbers, but their groups may be.

A *name* is one or two capitalised words next to each other. The index of the training text decides
whether a name is rare; see `identifier_index`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

LONG, MOST_DIGITS = 7, 40
"""Fewest and most digits of a long number."""
MASK = "•"

_BETWEEN = " \u00a0\u2009\u202f\u2010-\u2013-"
_DIGITS = re.compile(rf"\d(?:[{_BETWEEN}]?\d){{{LONG - 1},}}")
_GROUP = re.compile(rf"\d{{{LONG},{MOST_DIGITS}}}")
_LOCAL = re.compile(r"[\w.%+-]{1,64}\Z")
_DOMAIN = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.[^\W\d_]{2,63}")
_MOST_LOCAL, _MOST_DOMAIN, _SHORTEST_DOMAIN = 64, 254, 4


class Row(NamedTuple):
    """A row of digits in a text.

    Attributes:
        start: Offset of its first digit.
        digits: The digits alone, in ASCII.
        groups: Those of its groups (digits without spaces or dashes between them) that are long
            numbers by themselves, if there are several groups.
    """

    start: int
    digits: str
    groups: tuple[str, ...]


def rows_of_digits(text: str) -> Iterator[Row]:
    """Yield the rows of at least `LONG` digits in a text, in order.

    There is at most one space or dash between two digits. A row extends as far as possible.
    """
    for found in _DIGITS.finditer(text):
        row = found[0]
        if row.isdigit():
            yield Row(found.start(), row if row.isascii() else _ascii(row), ())
        else:
            groups = tuple(_ascii(group) for group in _GROUP.findall(row))
            yield Row(found.start(), _ascii(row), groups)


def _ascii(row: str) -> str:
    digits = "".join(filter(str.isdecimal, row))
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def addresses(text: str) -> Iterator[tuple[int, str]]:
    """Yield the e-mail addresses in a text in lower case, each with the offset of its `@`."""
    place = text.find("@")
    while place >= 0:
        local = _LOCAL.search(text[max(0, place - _MOST_LOCAL) : place])
        domain = _DOMAIN.match(text[place + 1 : place + _MOST_DOMAIN])
        if local and domain:
            yield place, f"{local[0]}@{domain[0]}".lower()
        place = text.find("@", place + 1)


def domain_beginnings(address: str) -> list[str]:
    """Return the prefixes of an address's domain that may be domains, longest first."""
    domain = address.partition("@")[2]
    return [domain[:end] for end in range(len(domain), _SHORTEST_DOMAIN - 1, -1)]


def local_endings(address: str) -> list[str]:
    """Return the suffixes of an address's local part, which is before the `@`, longest first."""
    local = address.partition("@")[0]
    return [local[start:] for start in range(len(local))]


def capitalised(text: str) -> list[str]:
    """Return the runs of capitalised words in a text, with one space or hyphen between two."""
    return _capitalised().findall(text)


def words_of_run(run: str) -> list[str]:
    """Return the words of a run from `capitalised` in lower case, without a possessive `'s`."""
    words = run.lower().replace("’", "'").replace("-", " ").split(" ")
    return [word.removesuffix("'s") for word in words]


def pairs(words: Sequence[str]) -> list[str]:
    """Return each pair of adjacent words, joined by a space."""
    return [f"{first} {second}" for first, second in pairwise(words)]


@cache
def _capitalised() -> re.Pattern[str]:
    upper = "".join(_ranges([code for code in range(0x10000) if chr(code).isupper()]))
    word = rf"[{upper}](?:['’]?[^\W\d_])+"
    return re.compile(rf"(?<![^\W_]){word}(?:[ -]{word})*")


def _ranges(codes: Sequence[int]) -> Iterator[str]:
    """Yield ascending characters as ranges of a regular expression's character class."""
    first = last = codes[0]
    for code in [*codes[1:], -1]:
        if code != last + 1:
            yield chr(first) if first == last else f"{chr(first)}-{chr(last)}"
            first = code
        last = code


def masked(text: str) -> str:
    """Return a text of the same length with its long numbers and e-mail addresses masked.

    Of a number, the first two and the last two digits stay visible; of an address, the first letter
    and the end of the domain.
    """
    text = _DIGITS.sub(lambda found: masked_number(found[0]), text)
    for place, address in [*addresses(text)]:
        local, _, domain = address.partition("@")
        start, end = place - len(local), place + 1 + len(domain)
        text = text[:start] + masked_address(text[start:end]) + text[end:]
    return text


def masked_address(address: str) -> str:
    """Return an e-mail address with only its first letter and the end of its domain visible."""
    local, _, domain = address.partition("@")
    rest, dot, end = domain.rpartition(".")
    return f"{local[0]}{MASK * (len(local) - 1)}@{MASK * len(rest)}{dot}{end}"


def masked_number(row: str) -> str:
    """Return a row of digits with only its first two and its last two digits visible."""
    places = [place for place, character in enumerate(row) if character.isdigit()]
    hidden = {*places[2:-2]}
    return "".join(MASK if place in hidden else c for place, c in enumerate(row))
